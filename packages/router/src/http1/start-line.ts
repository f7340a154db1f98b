import { lineEndProblem, type Lines } from "./fields.ts";
import type { Version } from "./head.ts";
import { CR, LF, octets, SP, TARGET, TOKEN, VALUE } from "./octets.ts";
import type { RefusalCode } from "./refusal.ts";

/** What a start line said, and where the next line begins. */
export interface RequestLine { readonly method: string; readonly target: string; readonly version: Version; readonly next: number }
export interface StatusLine { readonly status: number; readonly reason: string; readonly version: Version; readonly next: number }

/** `method SP target SP version CRLF` (RFC 9112 section 3). */
export function readRequestLine({ bytes, text, base }: Lines, from: number): RequestLine | RefusalCode {
  const table: Uint8Array = octets;
  let at = from;
  while (((table[bytes[at] as number] as number) & TOKEN) !== 0) at += 1;
  if (at === from || bytes[at] !== SP) return startProblem(bytes, at, at === from || bytes[at] !== CR ? "bad_method" : "bad_request_line");
  const method = text.slice(from - base, at - base);
  // The beginning of HTTP/2's preface: whoever takes it for a request reads the rest in another language (RFC 9113 section 3.4).
  if (method === "PRI") return "bad_method";
  const begun = at + 1;
  at = begun;
  while (((table[bytes[at] as number] as number) & TARGET) !== 0) at += 1;
  if (at === begun) return startProblem(bytes, at, "bad_request_line");
  if (bytes[at] !== SP) return startProblem(bytes, at, bytes[at] === CR ? "bad_request_line" : "bad_target");
  const target = text.slice(begun - base, at - base);
  const version = readVersion(bytes, at + 1);
  if (version === undefined) return startProblem(bytes, at + 1, "bad_version");
  at += 9;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return ((table[bytes[at] as number] as number) & VALUE) !== 0 ? "bad_version" : lineEndProblem(bytes, at);
  return isTarget(method, target) ? { method, target, version, next: at + 2 } : "bad_target";
}

/** `version SP 3DIGIT [SP reason] CRLF` (RFC 9112 section 4); the blank before an absent reason may be absent too, as with many servers. */
export function readStatusLine({ bytes, text, base }: Lines, from: number): StatusLine | RefusalCode {
  const version = readVersion(bytes, from);
  if (version === undefined) return startProblem(bytes, from, startsLikeHttp(text, from - base) ? "bad_version" : "bad_status_line");
  let at = from + 8;
  if (bytes[at] !== SP) return startProblem(bytes, at, isDigit(bytes[at]) ? "bad_version" : "bad_status_line");
  at += 1;
  if (!isDigit(bytes[at]) || !isDigit(bytes[at + 1]) || !isDigit(bytes[at + 2]) || bytes[at] === 0x30) return "bad_status_line";
  const status = Number(text.slice(at - base, at - base + 3));
  at += 3;
  if (bytes[at] !== SP && bytes[at] !== CR) return startProblem(bytes, at, "bad_status_line");
  const begun = bytes[at] === SP ? at + 1 : at;
  at = begun;
  while (((octets[bytes[at] as number] as number) & VALUE) !== 0) at += 1;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return lineEndProblem(bytes, at);
  return { status, reason: text.slice(begun - base, at - base), version, next: at + 2 };
}

/** `HTTP/1.1` or `HTTP/1.0`, letter by letter: the name is case-sensitive (RFC 9112 section 2.3). */
function readVersion(bytes: Uint8Array, at: number): Version | undefined {
  if (bytes[at] !== 0x48 || bytes[at + 1] !== 0x54 || bytes[at + 2] !== 0x54 || bytes[at + 3] !== 0x50
    || bytes[at + 4] !== 0x2f || bytes[at + 5] !== 0x31 || bytes[at + 6] !== 0x2e) return undefined;
  return bytes[at + 7] === 0x31 ? "1.1" : bytes[at + 7] === 0x30 ? "1.0" : undefined;
}

const startsLikeHttp = (text: string, at: number): boolean => text.startsWith("HTTP/", at);
const isDigit = (octet: number | undefined): boolean => octet !== undefined && octet >= 0x30 && octet <= 0x39;

/** The more telling reason where a control character or a lone line end stands; `otherwise` for the rest. */
function startProblem(bytes: Uint8Array, at: number, otherwise: RefusalCode): RefusalCode {
  const octet = bytes[at] as number;
  if (octet === LF) return "bare_lf";
  if (octet === CR) return bytes[at + 1] === LF ? otherwise : "bare_cr";
  return octet < SP || octet === 0x7f ? "control_character" : otherwise;
}

const authority = /^(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.%A-Za-z]+\])$/;

/** Whether `value` is a host with an optional port, and no user before it (RFC 9110 section 7.2). */
export function isHostAndPort(value: string): boolean {
  const port = /:[0-9]*$/.exec(value);
  return authority.test(port === null ? value : value.slice(0, port.index));
}

/** The four forms (RFC 9112 section 3.2): `/path`, `http://host/path`, `host:port` for CONNECT alone, `*` for OPTIONS alone. */
function isTarget(method: string, target: string): boolean {
  if (method === "CONNECT") return /:[0-9]{1,5}$/.test(target) && isHostAndPort(target);
  if (target.charCodeAt(0) === 0x2f /* / */) return true;
  if (target === "*") return method === "OPTIONS";
  const host = /^https?:\/\/([^/?]+)/i.exec(target)?.[1];
  return host !== undefined && isHostAndPort(host);
}
