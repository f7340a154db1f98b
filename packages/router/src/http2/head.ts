import { randomBytes } from "node:crypto";

/** The head of a request in the words of HTTP/1.1, which every step and both engines speak. */
export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** Name, value, name, value …; `Host` first. */
  readonly rawHeaders: string[];
  /** What an extended CONNECT (RFC 8441) wants to speak; undefined for anything else. */
  readonly protocol: string | undefined;
  readonly expectContinue: boolean;
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What would end a line, or a part of one, in HTTP/1.1. */
const breaksTarget = /[\0-\x20\x7f]/;
const breaksValue = /[\0\r\n]/;
/** They speak of a connection, and HTTP/2 has other means for that (RFC 9113, 8.2.2). */
const connectionBound = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"]);

/**
 * Translates the head of an HTTP/2 request. What would mean something else, or nothing, once it is written as HTTP/1.1 is given
 * back as the reason why not (RFC 9113, 8.2.1, 8.3.1 and 10.3): a frame has no line ends, so everything that ends a line must go here.
 * @param flat names and values as received, pseudo-headers included
 * @param hasBody whether a body follows
 */
export function translateHead(flat: readonly string[], hasBody: boolean): RequestHead | string {
  let method = "";
  let path: string | undefined;
  let authority: string | undefined;
  let protocol: string | undefined;
  let host: string | undefined;
  let cookies: string | undefined;
  let length = false;
  let expectContinue = false;
  const fields: string[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] as string;
    const value = flat[at + 1] as string;
    if (breaksValue.test(value)) return "a header value with a line break";
    switch (name) {
      case ":method": method = value; continue;
      case ":path": path = value; continue;
      case ":authority": authority = value; continue;
      case ":protocol": protocol = value; continue;
      case ":scheme": continue;
      case "host":
        if (host !== undefined) return "several hosts";
        host = value;
        continue;
      // Split for the sake of compression, joined again for HTTP/1.1 (RFC 9113, 8.2.3).
      case "cookie": cookies = cookies === undefined ? value : `${cookies}; ${value}`; continue;
      case "content-length": length = true; break;
      case "expect": expectContinue = value.toLowerCase() === "100-continue"; break;
      default: break;
    }
    if (!token.test(name)) return "a header name that is none";
    if (connectionBound.has(name)) return "a header of a connection";
    fields.push(name, value);
  }
  if (!token.test(method)) return "a method that is none";
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase()) return "two opinions about the host";
  const target = method === "CONNECT" && protocol === undefined ? authority : path;
  if (target === undefined || target === "" || breaksTarget.test(target)) return "a target that is none";
  if (path !== undefined && !path.startsWith("/") && !(path === "*" && method === "OPTIONS")) return "a target that is none";
  const named = authority ?? host;
  const rawHeaders = named === undefined ? [] : ["host", named];
  for (const part of fields) rawHeaders.push(part);
  if (cookies !== undefined) rawHeaders.push("cookie", cookies);
  if (protocol !== undefined) {
    if (method !== "CONNECT" || !token.test(protocol)) return "a protocol that is none";
    rawHeaders.push("connection", "Upgrade", "upgrade", protocol);
    // HTTP/2 needs no proof that the other side has understood; an app behind HTTP/1.1 asks for one (RFC 8441, 5).
    if (protocol === "websocket") rawHeaders.push("sec-websocket-key", randomBytes(16).toString("base64"));
    return { method: "GET", target, rawHeaders, protocol, expectContinue: false };
  }
  // A body of unknown length: in HTTP/1.1 this is how one says so.
  if (hasBody && !length) rawHeaders.push("transfer-encoding", "chunked");
  return { method, target, rawHeaders, protocol: undefined, expectContinue: expectContinue && hasBody };
}

/** Headers of an answer for HTTP/2: lower case, each name once (RFC 9110, 5.3), without those of a connection. */
export function answerHeaders(flat: readonly string[]): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at < flat.length; at += 2) {
    const name = (flat[at] as string).toLowerCase();
    const value = flat[at + 1] as string;
    if (connectionBound.has(name)) continue;
    const held = out[name];
    if (name === "set-cookie") out[name] = held === undefined ? [value] : [held, value].flat();
    else out[name] = held === undefined ? value : `${String(held)}, ${value}`;
  }
  return out;
}
