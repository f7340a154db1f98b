import { RouterError } from "../errors.ts";
import { isFieldValue, isToken } from "./octets.ts";

const CRLF = Buffer.from("\r\n", "latin1");
const END = Buffer.from("0\r\n\r\n", "latin1");

/**
 * One chunk around `slice`, as pieces to be written one after the other: the data is not copied.
 * Nothing for an empty slice, since a chunk of size 0 would end the body (RFC 9112 section 7.1).
 */
export function encodeChunk(slice: Buffer): Buffer[] {
  return slice.length === 0 ? [] : [Buffer.from(`${slice.length.toString(16)}\r\n`, "latin1"), slice, CRLF];
}

/**
 * The end of a chunked body with its trailers (name, value, name, value).
 * @throws {RouterError} ROUTER_BAD_OPTION for a name that is no token or a value that no line may carry
 */
export function encodeLastChunk(trailers: readonly string[] = []): Buffer {
  if (trailers.length === 0) return END;
  let text = "0\r\n";
  for (let at = 0; at < trailers.length; at += 2) {
    const name = trailers[at] as string;
    const value = trailers[at + 1] ?? "";
    if (!isToken(name) || !isFieldValue(value)) throw new RouterError("ROUTER_BAD_OPTION", `${JSON.stringify(name)} with ${JSON.stringify(value)} is no trailer`);
    text += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, "latin1");
}
