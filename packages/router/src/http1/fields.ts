import { COLON, CR, HT, LF, octets, SP, TOKEN, VALUE } from "./octets.ts";
import type { RefusalCode } from "./refusal.ts";

/** The header lines of one message as they are read, and what they say about its framing. */
export interface Fields {
  readonly raw: string[];
  problem: RefusalCode | undefined;
  hosts: number;
  host: string;
  lengths: number;
  /** -1: not a plain number. */
  length: number;
  /** All values of Transfer-Encoding, joined. */
  codings: string | undefined;
  close: boolean;
  keepAlive: boolean;
  connectionUpgrade: boolean;
  upgrade: string | undefined;
  expectContinue: boolean;
  repeated: boolean;
  derived: unknown;
  known: unknown;
}

export const newFields = (): Fields => ({
  raw: [], problem: undefined, hosts: 0, host: "", lengths: 0, length: -1, codings: undefined,
  close: false, keepAlive: false, connectionUpgrade: false, upgrade: undefined, expectContinue: false, repeated: false, derived: undefined, known: undefined,
});

/** Whole lines of a message: `bytes` from `at` on, up to `stop`, which stands behind an LF. `text` is the same as latin1, from `base` on. */
export interface Lines {
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly base: number;
  readonly stop: number;
}

/** `fields.problem` says why. */
export const REFUSED = -1;

/** What `readFields` says of lines that are used up before the empty one has come, and the way back. */
const paused = (at: number): number => -at - 2;
export const pausedAt = (end: number): number => -end - 2;

/**
 * Reads header lines up to and with the empty line (RFC 9112 section 5).
 * @returns where the bytes behind the empty line begin; `REFUSED`; or, when it has not come, a number from which `pausedAt` makes where to go on
 */
export function readFields(lines: Lines, from: number, fields: Fields, maxHeaders: number): number {
  const { bytes, text, base, stop } = lines;
  const { raw } = fields;
  let at = from;
  while (at < stop) {
    const first = bytes[at] as number;
    if (first === CR && bytes[at + 1] === LF) return at + 2;
    let end = at;
    while (((octets[bytes[end] as number] as number) & TOKEN) !== 0) end += 1;
    if (end === at || bytes[end] !== COLON) return refuse(fields, nameProblem(bytes, at, end));
    const name = text.slice(at - base, end - base);
    let start = end + 1;
    while (bytes[start] === SP || bytes[start] === HT) start += 1;
    let stopped = start;
    while (((octets[bytes[stopped] as number] as number) & VALUE) !== 0) stopped += 1;
    if (bytes[stopped] !== CR || bytes[stopped + 1] !== LF) return refuse(fields, lineEndProblem(bytes, stopped));
    end = stopped;
    let tab = false;
    while (end > start && (bytes[end - 1] === SP || bytes[end - 1] === HT)) {
      end -= 1;
      if (bytes[end] === HT) tab = true;
    }
    const value = text.slice(start - base, end - base);
    if (raw.length >= 2 * maxHeaders) return refuse(fields, "too_many_headers");
    raw.push(name, value);
    // White space like any other (RFC 9110 section 5.5), but not to all readers: where it could hide a framing from one of them it stays, and is refused.
    note(fields, name, tab ? `${value}\t` : value);
    at = stopped + 2;
  }
  return paused(at);
}

function refuse(fields: Fields, code: RefusalCode): number {
  fields.problem = code;
  return REFUSED;
}

/** What is wrong where a line should end. */
export function lineEndProblem(bytes: Uint8Array, at: number): RefusalCode {
  const octet = bytes[at];
  return octet === LF ? "bare_lf" : octet === CR ? "bare_cr" : "control_character";
}

function nameProblem(bytes: Uint8Array, at: number, end: number): RefusalCode {
  const octet = bytes[end] as number;
  const blank = octet === SP || octet === HT;
  if (blank && end === at) return "obs_fold";
  if (octet === LF) return end === at ? "bare_lf" : "no_colon";
  if (octet === CR) return end > at && bytes[end + 1] === LF ? "no_colon" : "bare_cr";
  if (!blank) return octet < SP || octet === 0x7f ? "control_character" : "bad_field_name";
  let next = end;
  while (bytes[next] === SP || bytes[next] === HT) next += 1;
  return bytes[next] === COLON ? "blank_before_colon" : "bad_field_name";
}

/** The few headers that matter to the framing; their lengths tell most others apart at once. */
function note(fields: Fields, name: string, value: string): void {
  switch (name.length) {
    case 4:
      if (name.toLowerCase() !== "host") return;
      fields.hosts += 1;
      fields.host = trimBlanks(value);
      return;
    case 6:
      if (name.toLowerCase() === "expect" && trimBlanks(value).toLowerCase() === "100-continue") fields.expectContinue = true;
      return;
    case 7:
      if (name.toLowerCase() === "upgrade") fields.upgrade = fields.upgrade === undefined ? value : `${fields.upgrade}, ${value}`;
      return;
    case 10:
      if (name.toLowerCase() === "connection") noteConnection(fields, trimBlanks(value).toLowerCase());
      return;
    case 14:
      if (name.toLowerCase() !== "content-length") return;
      fields.lengths += value.includes(",") ? 2 : 1;
      fields.length = parseLength(value);
      return;
    case 17:
      if (name.toLowerCase() === "transfer-encoding") fields.codings = fields.codings === undefined ? value : `${fields.codings},${value}`;
  }
}

function noteConnection(fields: Fields, value: string): void {
  if (value === "keep-alive") fields.keepAlive = true;
  else if (value === "close") fields.close = true;
  else {
    for (const part of value.split(",")) {
      const option = trimBlanks(part);
      if (option === "close") fields.close = true;
      else if (option === "keep-alive") fields.keepAlive = true;
      else if (option === "upgrade") fields.connectionUpgrade = true;
    }
  }
}

/** Without blanks and tabs at both ends; `trim()` would take 0xa0 as well. */
export const trimBlanks = (text: string): string => text.replace(/^[ \t]+|[ \t]+$/g, "");

/** Digits only, no leading zero (which some readers take for octal), no more than a number holds exactly; -1 otherwise. */
function parseLength(value: string): number {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(value)) return -1;
  const length = Number(value);
  return Number.isSafeInteger(length) ? length : -1;
}
