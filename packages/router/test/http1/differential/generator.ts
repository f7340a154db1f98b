import type { Chance } from "./random.ts";
import type { Sample } from "./understood.ts";

const methods = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT", "PATCH", "get", "G T", "", "GE(T", "PRI", "SOURCE", "BREW"];
const targets = ["/", "/a", "/a?b=c", "/%2e%2e/", "//x/y", "http://a.example/x", "https://b.example", "*", "a.example:443", "a.example", "", "/a b", "/a#b", "/\x00", "/\x7f", "/\xe9", "http://", "http://u@h/", "?x", "/\\"];
const versions = ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.10", "HTTP/11", "HTTP/ 1.1", "HTTP/1.2", "RTSP/1.0", ""];
const reasons = ["OK", "", "Not Found", "caf\xc3\xa9", "a\tb", "x\x00y", "x\ry"];
const statuses = ["200", "204", "304", "100", "101", "103", "404", "500", "199", "099", "1000", "20", "2 0", "-20", "999"];
const names = ["X-A", "x", "Accept", "Cookie", "X_A", "X A", "X-A ", " X-A", "X\x00A", "X:A", "", "X\xe9", "(x)", "\tX"];
const values = ["", "v", " v ", "\tv\t", "a, b", "x\x00", "x\x01", "x\x7f", "x\xe9", "x\rY: z", "x\nY: z", "\"q\"", "a:b", "x\r\n y", "x\r\n\ty", "v\x0b", "v\x0c"];
const lengths = ["0", "3", "5", "10", "+3", "-3", " 3", "3 ", "03", "0x3", "3,3", "3, 3", "3,4", "", "3;", "99999999999999999999", "9007199254740993", "1e1", "3 3", "\t3", "3\t", "३"];
const codings = ["chunked", "Chunked", "CHUNKED", " chunked ", "chunked,", ",chunked", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "xchunked", "chunked;q=1", "\"chunked\"", "", "chunked\x0b", "chunked\x00", "chun ked", "chunked\tx"];
const connections = ["close", "keep-alive", "Keep-Alive", "upgrade", "Upgrade, close", "close, keep-alive", "x", "", "close,", "transfer-encoding", "content-length"];
const hosts = ["a.example", "a.example:80", "", "a.example, b.example", "a b", "a.example/", "u@a.example", "[::1]:80", "a.example:x", "a\x00b", "<x>"];
const lengthNames = ["Content-Length", "content-length", "Content_Length", "Content-Length ", "Content-Length\t", " Content-Length", "Content-length\x00", "Content-Lengths"];
const codingNames = ["Transfer-Encoding", "transfer-encoding", "Transfer_Encoding", "Transfer-Encoding ", "Transfer-Encoding\t", " Transfer-Encoding", "X: y\nTransfer-Encoding", "X: y\rTransfer-Encoding", "Transfer\r\n -Encoding"];
const sizes = ["0", "3", "5", "a", "A", "03", "0x3", "+3", "-3", " 3", "3 ", "3\t", "", "00000000000000003", "ffffffffffffffff", "10000000000000003", "g", "3;", "3;a", "3;a=b", "3;a=\"b\"", "3;a=\"b", "3;a=\"\\\"\"", "3 ;a", "3; a", "3;a\n", "3;\x00", "3;a=b;c", "3,3", "3\r", "3.0"];
const ends = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r", ""];
const odd = ["\x00", "\r", "\n", "\t", " ", "\x0b", "\x7f", "\x80", "\xff", ":", ";", ",", "0", "\r\n", "\r\n\r\n", "\r\n ", "#"];

/** The bytes of a connection: one to three messages, mostly sound, with what smugglers use in the places where they use it. */
export function generate(chance: Chance): Sample {
  const side = chance.once(3) ? "response" : "request";
  let text = chance.once(40) ? chance.pick(["\r\n", "\r\n\r\n", "\n", "\r", " ", "\x00"]) : "";
  for (let more = 1 + (chance.once(3) ? chance.int(3) : 0); more > 0; more -= 1) text += message(chance, side);
  for (let more = chance.once(4) ? 1 + chance.int(3) : 0; more > 0; more -= 1) text = damaged(chance, text);
  return { side, method: side === "response" ? chance.pick(["GET", "GET", "GET", "HEAD", "CONNECT"]) : "", bytes: Buffer.from(text, "latin1") };
}

/** Mostly the first of the list. */
const mostly = (chance: Chance, list: readonly string[]): string => (chance.once(12) ? chance.pick(list) : list[0] as string);
const often = (chance: Chance, list: readonly string[]): string => (chance.once(3) ? chance.pick(list) : list[chance.int(2)] as string);
/** Line ends are nearly always right: else hardly a message would come through. */
const lineEnd = (chance: Chance): string => (chance.once(60) ? chance.pick(ends) : "\r\n");

function message(chance: Chance, side: "request" | "response"): string {
  let text = side === "request"
    ? `${often(chance, methods)} ${mostly(chance, targets)} ${mostly(chance, versions)}`
    : `${mostly(chance, versions)} ${often(chance, statuses)} ${mostly(chance, reasons)}`;
  text += lineEnd(chance);
  const lines: string[] = [];
  if (side === "request" && !chance.once(20)) lines.push(`Host: ${mostly(chance, hosts)}`);
  if (side === "request" && chance.once(40)) lines.push(`Host: ${chance.pick(hosts)}`);
  let framing = "none";
  const body = chance.int(10);
  if (body < 4) {
    framing = "length";
    lines.push(`${mostly(chance, lengthNames)}: ${chance.once(3) ? chance.pick(lengths) : "3"}`);
    if (chance.once(8)) lines.push(`${mostly(chance, lengthNames)}: ${chance.pick(lengths)}`);
  }
  if (body >= 3 && body < 7) {
    framing = "chunked";
    lines.push(`${mostly(chance, codingNames)}: ${chance.once(4) ? chance.pick(codings) : "chunked"}`);
    if (chance.once(10)) lines.push(`${mostly(chance, codingNames)}: ${chance.pick(codings)}`);
  }
  if (chance.once(4)) lines.push(`${chance.once(4) ? "connection" : "Connection"}: ${chance.pick(connections)}`);
  if (chance.once(10)) lines.push(`Upgrade: ${chance.pick(["websocket", "h2c", "", "x, y"])}`);
  if (chance.once(10)) lines.push("Expect: 100-continue");
  for (let more = chance.int(3); more > 0; more -= 1) lines.push(`${mostly(chance, names)}:${chance.pick(["", " ", "  ", "\t"])}${often(chance, values)}`);
  for (let at = lines.length; at > 0; at -= 1) text += `${lines.splice(chance.int(at), 1)[0]}${lineEnd(chance)}`;
  text += lineEnd(chance);
  if (framing === "length") text += chance.once(8) ? chance.pick(["", "ab", "abcd", "0\r\n\r\n", "GET /x HTTP/1.1\r\n\r\n"]) : "abc";
  if (framing === "chunked") text += chunks(chance);
  return text;
}

function chunks(chance: Chance): string {
  let text = "";
  for (let more = chance.int(3); more > 0; more -= 1) {
    const size = chance.once(4) ? chance.pick(sizes) : "3";
    text += `${size}${lineEnd(chance)}${chance.once(15) ? chance.pick(["", "ab", "abcd"]) : "abc"}${lineEnd(chance)}`;
  }
  text += `${chance.once(12) ? chance.pick(["00", "0;a=b", "0 ", "-0", "0x0", "", "000000000000000000000"]) : "0"}${lineEnd(chance)}`;
  for (let more = chance.once(5) ? 1 + chance.int(2) : 0; more > 0; more -= 1) {
    text += `${often(chance, ["X-T", "x-t", "Content-Length", "Transfer-Encoding", "Host", " X", "X\x00", "", "Trailer"])}: ${often(chance, values)}${lineEnd(chance)}`;
  }
  return text + lineEnd(chance);
}

/** One change anywhere. */
function damaged(chance: Chance, text: string): string {
  const at = chance.int(text.length + 1);
  const to = Math.min(text.length, at + 1 + chance.int(4));
  switch (chance.int(5)) {
    case 0: return text.slice(0, at) + chance.pick(odd) + text.slice(at);
    case 1: return text.slice(0, at) + text.slice(to);
    case 2: return text.slice(0, to) + text.slice(at);
    case 3: return text.slice(0, at) + String.fromCharCode(chance.int(256)) + text.slice(at + 1);
    default: return text.slice(0, at);
  }
}

/** Places to cut `length` bytes at, ascending. */
export function cutsOf(chance: Chance, length: number): number[] {
  if (chance.once(3)) return [];
  const cuts = new Set(Array.from({ length: 1 + chance.int(4) }, () => chance.int(length + 1)));
  return [...cuts].sort((one, other) => one - other);
}
