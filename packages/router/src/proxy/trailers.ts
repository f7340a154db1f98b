import { isFieldValue, isToken } from "../http1/octets.ts";

/**
 * What may not stand behind a body (RFC 9110, 6.5.1): it would change how a message is framed, routed, understood or who is taken to have sent it,
 * after somebody has decided about that.
 */
const forbidden = new Set([
  "transfer-encoding", "content-length", "trailer", "te", "connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings", "host", "via", "forwarded", "x-real-ip",
  "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie", "origin", "referer",
  "cache-control", "expect", "max-forwards", "pragma", "range", "age", "date", "location", "retry-after", "vary", "warning",
  "content-encoding", "content-type", "content-range", "idempotency-key", "x-idempotency-key", "x-request-start", "b3", "traceparent", "tracestate",
]);
/** The router's own word, or a condition on the request. */
const forbiddenStart = /^(?:x-forwarded-|x-cf-|x-vcap-|x-b3-|if-|sec-|:)/;

const maxFields = 100;
const maxBytes = 16_384;
const none: readonly string[] = Object.freeze([]);

const mayTrail = (name: string): boolean => {
  const plain = name.toLowerCase().replaceAll("_", "-");
  return isToken(name) && !forbidden.has(plain) && !forbiddenStart.test(plain);
};

/** What of a request's trailers (name, value, name, value) goes on to the app; none of more than 100 fields or 16 KiB. */
export function passedTrailers(raw: readonly string[]): readonly string[] {
  if (raw.length === 0) return none;
  const out: string[] = [];
  let bytes = 0;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const value = raw[at + 1] ?? "";
    bytes += name.length + value.length + 4;
    if (mayTrail(name) && isFieldValue(value)) out.push(name, value);
  }
  return bytes > maxBytes || raw.length > maxFields * 2 ? none : out;
}

/** The names that `Trailer` announces, but for those that will not come; empty where none is left. */
export const announcedTrailers = (value: string): string => value.split(",").map((name) => name.trim()).filter(mayTrail).join(", ");
