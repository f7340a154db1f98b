import { isIPv4, isIPv6 } from "node:net";
import { crc32c } from "./crc32c.ts";
import { undressed } from "./connection.ts";

/** Where a connection came from, as the balancer before us says; `undefined` where it speaks for itself (`LOCAL`, `UNKNOWN`). */
export interface ProxySource { readonly address: string; readonly port: number }

/** `absent`: these bytes cannot become a header. `partial`: they still can. */
export type ProxyHeader =
  | { readonly state: "absent" | "partial" }
  | { readonly state: "bad"; readonly reason: string }
  | { readonly state: "whole"; readonly bytes: number; readonly source: ProxySource | undefined };

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const maxLineBytes = 107;
/** Enough for addresses and every extension in use; a header that wants more is refused. */
const maxBinaryBytes = 4_096;

const absent: ProxyHeader = { state: "absent" };
const partial: ProxyHeader = { state: "partial" };
const bad = (reason: string): ProxyHeader => ({ state: "bad", reason });

/**
 * Reads a PROXY protocol header, version 1 or 2, from the beginning of a connection.
 * Strict: what the specification (haproxy, doc/proxy-protocol.txt) does not allow is `bad`, not guessed at.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return partial;
  return bytes[0] === 0x50 /* P */ ? readLine(bytes) : readBinary(bytes);
}

/** `PROXY TCP4 192.0.2.1 198.51.100.1 51234 443` and CR LF; 107 bytes at most. */
function readLine(bytes: Buffer): ProxyHeader {
  const word = "PROXY ";
  const begun = bytes.subarray(0, word.length).toString("latin1");
  if (!word.startsWith(begun)) return absent;
  if (begun.length < word.length) return partial;
  const end = bytes.subarray(0, maxLineBytes).indexOf("\r\n", 0, "latin1");
  if (end < 0) return bytes.length >= maxLineBytes ? bad("line too long") : partial;
  const line = bytes.toString("latin1", word.length, end);
  // Whatever follows UNKNOWN is to be ignored.
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return { state: "whole", bytes: end + 2, source: undefined };
  const fields = line.split(" ");
  const [family, from = "", to = "", fromPort = "", toPort = ""] = fields;
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isPlainIPv6 : undefined;
  if (isAddress === undefined) return bad("unknown protocol");
  if (fields.length !== 5) return bad("wrong number of fields");
  if (!isAddress(from) || !isAddress(to)) return bad("wrong address");
  if (!isPort(fromPort) || !isPort(toPort)) return bad("wrong port");
  return { state: "whole", bytes: end + 2, source: { address: undressed(from), port: Number(fromPort) } };
}

/** A zone (`%eth0`) means nothing on another machine. */
const isPlainIPv6 = (text: string): boolean => isIPv6(text) && !text.includes("%");
const isPort = (text: string): boolean => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;

/** Bytes of both addresses and ports, by the family and transport of a version 2 header. */
const addressBytes: Record<number, number> = { 0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216 };

function readBinary(bytes: Buffer): ProxyHeader {
  const known = Math.min(bytes.length, signature.length);
  if (signature.compare(bytes, 0, known, 0, known) !== 0) return absent;
  if (bytes.length < 16) return partial;
  const [versionAndCommand, family] = [bytes[12] as number, bytes[13] as number];
  const length = bytes.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return bad("unknown version");
  const command = versionAndCommand & 0x0f;
  if (command > 1) return bad("unknown command");
  if (16 + length > maxBinaryBytes) return bad("header too long");
  const size = addressBytes[family];
  // A check of the balancer itself may say anything about addresses; it says nothing about a client.
  if (command === 1 && size === undefined) return bad("unknown family or transport");
  if (command === 1 && length < (size as number)) return bad("addresses cut short");
  const total = 16 + length;
  if (bytes.length < total) return partial;
  if (command === 0) return { state: "whole", bytes: total, source: undefined };
  const extensions = checkExtensions(bytes.subarray(0, total), 16 + (size as number));
  if (extensions !== undefined) return bad(extensions);
  return { state: "whole", bytes: total, source: sourceOf(bytes, family) };
}

function sourceOf(bytes: Buffer, family: number): ProxySource | undefined {
  switch (family) {
    case 0x11: return { address: [...bytes.subarray(16, 20)].join("."), port: bytes.readUInt16BE(24) };
    case 0x21: return { address: undressed(textOf(bytes.subarray(16, 32))), port: bytes.readUInt16BE(48) };
    // A UNIX socket has no address a header could name.
    default: return undefined;
  }
}

/** An IPv6 address in its usual short form (RFC 5952, which is what URL writes); IPv4 in IPv6 with its dots. */
function textOf(bytes: Buffer): string {
  if (bytes.readBigUInt64BE(0) === 0n && bytes.readUInt32BE(8) === 0xffff) return `::ffff:${[...bytes.subarray(12)].join(".")}`;
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

const checksumType = 0x03;

/** Type, length, value, one after the other to the last byte; a checksum among them must be right. */
function checkExtensions(header: Buffer, from: number): string | undefined {
  let at = from;
  while (at < header.length) {
    if (at + 3 > header.length) return "extension cut short";
    const length = header.readUInt16BE(at + 1);
    const value = at + 3;
    if (value + length > header.length) return "extension cut short";
    if (header[at] === checksumType) {
      if (length !== 4) return "wrong checksum";
      const blank = Buffer.from(header).fill(0, value, value + 4);
      if (crc32c(blank) !== header.readUInt32BE(value)) return "wrong checksum";
    }
    at = value + length;
  }
  return undefined;
}
