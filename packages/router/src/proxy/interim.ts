import { STATUS_CODES, type ServerResponse } from "node:http";
import { isFieldValue, isToken } from "../http1/octets.ts";
import { speaksHttp10, type Exchange } from "./exchange.ts";

/** Interim answers before the real one; an app that has more to say has run wild. */
export const maxInterim = 32;
/** All of them together. */
const maxBytes = 65_536;

/** Of the connection to the endpoint, or about a body that no interim answer has (RFC 9110, 7.6.1 and 15.2). */
const notPassed = new Set(["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"]);

/** What was passed on for an answer so far. Hardly any has something. */
const passed = new WeakMap<ServerResponse, { count: number; bytes: number }>();

/** An answer over HTTP/2, where an interim one is no text. */
interface Informing { writeInformation?: (status: number, headers: readonly string[]) => void }

/**
 * Passes an interim answer on (RFC 9110, 15.2: a proxy must, and clients of HTTP/1.0 must get none). 100 is not among them: that is between the
 * router and each side.
 * @returns false when it is one too many, and the attempt should end
 */
export function passInterim(exchange: Exchange, status: number, flat: readonly string[]): boolean {
  const { response } = exchange;
  if (status === 100) return true;
  const before = passed.get(response) ?? { count: 0, bytes: 0 };
  const listed = connectionNames(flat);
  const headers: string[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] as string;
    const value = flat[at + 1] as string;
    const lower = name.toLowerCase();
    if (name.startsWith(":") || notPassed.has(lower) || listed.includes(lower) || !isToken(name) || !isFieldValue(value)) continue;
    headers.push(name, value);
    before.bytes += name.length + value.length + 4;
  }
  before.count += 1;
  passed.set(response, before);
  if (before.count > maxInterim || before.bytes > maxBytes) return false;
  if (speaksHttp10(exchange) || response.headersSent || response.destroyed) return true;
  const { writeInformation } = response as Informing;
  if (writeInformation !== undefined) writeInformation.call(response, status, headers);
  // The answer to an earlier request on the connection is still being written: a later one has nothing to say yet.
  else if (response.socket?.writable === true) response.socket.write(textOf(status, headers), "latin1");
  return true;
}

function textOf(status: number, headers: readonly string[]): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;
  for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return `${text}\r\n`;
}

function connectionNames(flat: readonly string[]): readonly string[] {
  const names: string[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    if ((flat[at] as string).toLowerCase() === "connection") names.push(...(flat[at + 1] as string).toLowerCase().split(",").map((name) => name.trim()));
  }
  return names;
}
