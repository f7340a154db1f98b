import { note, type Fields } from "./field-lines.ts";
import { nameAt, OTHER, TRANSFER_ENCODING, UNDERSCORED } from "./names.ts";
import { COLON, CR, HT, LF, octets, SP, TOKEN, UNDERSCORE, VALUE } from "./octets.ts";
import type { RefusalCode } from "./refusal.ts";

/**
 * Whole lines of a message: `bytes` from `base` on, up to `stop`, which stands behind an LF. `text` is the same as latin1, and may have what
 * follows the last line of a head as well.
 */
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
  const { bytes, base, stop } = lines;
  // Looked up here once, not for each octet.
  const table: Uint8Array = octets;
  // Of a head that comes in pieces the text is put together again.
  const shift = fields.begin < 0 ? -base : fields.text.length - base;
  if (fields.begin < 0) {
    fields.text = lines.text;
    fields.begin = from - base;
  } else fields.text += lines.text;
  let at = from;
  while (at < stop) {
    const first = bytes[at] as number;
    if (first === CR && bytes[at + 1] === LF) {
      fields.end = at + shift;
      return at + 2;
    }
    let end = at;
    let letters = 0;
    let letter = table[bytes[end] as number] as number;
    while ((letter & TOKEN) !== 0) {
      letters |= letter;
      end += 1;
      letter = table[bytes[end] as number] as number;
    }
    if (end === at || bytes[end] !== COLON) return refuse(fields, nameProblem(bytes, at, end));
    const name = (letters & UNDERSCORE) !== 0 ? UNDERSCORED : nameAt(bytes, at, end);
    const canonical = end + 2;
    const blank = bytes[end + 1];
    let start = end + 1;
    while (bytes[start] === SP || bytes[start] === HT) start += 1;
    let stopped = start;
    while (((table[bytes[stopped] as number] as number) & VALUE) !== 0) stopped += 1;
    if (bytes[stopped] !== CR || bytes[stopped + 1] !== LF) return refuse(fields, lineEndProblem(bytes, stopped));
    end = stopped;
    let tab = false;
    while (end > start && (bytes[end - 1] === SP || bytes[end - 1] === HT)) {
      end -= 1;
      if (bytes[end] === HT) tab = true;
    }
    if (fields.count >= maxHeaders) return refuse(fields, "too_many_headers");
    fields.count += 1;
    if (start !== canonical || blank !== SP || end !== stopped) fields.isRegular = false;
    if (name !== OTHER) {
      fields.seen |= 1 << name;
      fields.marks.push(name, at + shift, start + shift, end + shift, stopped + 2 + shift);
      if (name <= TRANSFER_ENCODING) note(fields, name, { value: fields.text.slice(start + shift, end + shift), tab });
    }
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
