/**
 * Names of fields that somebody in the router looks at, as numbers below 32, so that those of a head are bits of one number.
 * All others are `OTHER`: they pass from one side to the other as they came.
 */
export const OTHER = 0;
export const HOST = 1;
export const EXPECT = 2;
export const UPGRADE = 3;
export const CONNECTION = 4;
export const CONTENT_LENGTH = 5;
export const TRANSFER_ENCODING = 6;
export const KEEP_ALIVE = 7;
export const PROXY_CONNECTION = 8;
/** Of requests to this router alone: what a client may not tell an app, and what is meant for a proxy. */
export const OF_REQUEST = 9;
export const TRAILER = 10;
export const TE = 11;
export const REQUEST_ID = 12;
/** An instance of an app is asked for. */
export const INSTANCE = 13;
export const FORWARDED_FOR = 14;
export const FORWARDED_PROTO = 15;
export const REQUEST_START = 16;
export const CLIENT_CERTIFICATE = 17;
export const IDEMPOTENCY_KEY = 18;
export const COOKIE = 19;
export const USER_AGENT = 20;
export const REFERER = 21;
export const SET_COOKIE = 22;
export const WWW_AUTHENTICATE = 23;
export const DATE = 24;
export const PROXY_SIGNATURE = 25;
/** Any name with `_` in it: apps that read names as CGI does take it for another one (RFC 3875 section 4.1.18). */
export const UNDERSCORED = 26;

const numbers: Readonly<Record<string, number>> = {
  "host": HOST, "expect": EXPECT, "upgrade": UPGRADE, "connection": CONNECTION, "content-length": CONTENT_LENGTH, "transfer-encoding": TRANSFER_ENCODING,
  "keep-alive": KEEP_ALIVE, "proxy-connection": PROXY_CONNECTION, "trailer": TRAILER, "te": TE,
  "proxy-authenticate": OF_REQUEST, "proxy-authorization": OF_REQUEST, "http2-settings": OF_REQUEST,
  "x-cf-applicationid": OF_REQUEST, "x-cf-instanceid": OF_REQUEST, "x-cf-instanceindex": OF_REQUEST,
  "x-vcap-request-id": REQUEST_ID, "x-cf-app-instance": INSTANCE, "x-cf-process-instance": INSTANCE,
  "x-forwarded-for": FORWARDED_FOR, "x-forwarded-proto": FORWARDED_PROTO, "x-request-start": REQUEST_START, "x-forwarded-client-cert": CLIENT_CERTIFICATE,
  "idempotency-key": IDEMPOTENCY_KEY, "x-idempotency-key": IDEMPOTENCY_KEY, "cookie": COOKIE, "user-agent": USER_AGENT, "referer": REFERER,
  "set-cookie": SET_COOKIE, "www-authenticate": WWW_AUTHENTICATE, "date": DATE, "x-cf-proxy-signature": PROXY_SIGNATURE,
};

/** The names of one length that end with the same letter, one after the other. */
interface Known { readonly letters: Uint8Array; readonly number: number; readonly next: Known | undefined }

const maxLetters = 32;
const known: (Known | undefined)[] = new Array<Known | undefined>(maxLetters * 32).fill(undefined);
const placeOf = (length: number, last: number): number => length * 32 + (last & 31);
for (const [name, number] of Object.entries(numbers)) {
  const place = placeOf(name.length, name.charCodeAt(name.length - 1));
  known[place] = { letters: Buffer.from(name, "latin1"), number, next: known[place] };
}

/** The number of a name that is known to be a token: letters of `bytes`, in whatever case (RFC 9110 section 5.1). */
export function nameAt(bytes: Uint8Array, from: number, end: number): number {
  const length = end - from;
  if (length >= maxLetters) return OTHER;
  let one = known[placeOf(length, bytes[end - 1] as number)];
  while (one !== undefined) {
    const { letters } = one;
    let at = 0;
    // Of two tokens' letters that differ in this bit alone, both are the same letter: names here have none of `^` and `~`.
    while (at < length && ((bytes[from + at] as number) | 0x20) === letters[at]) at += 1;
    if (at === length) return one.number;
    one = one.next;
  }
  return OTHER;
}

/** These names as bits. */
export const bitsOf = (...names: readonly number[]): number => names.reduce((bits, name) => bits | (1 << name), 0);
