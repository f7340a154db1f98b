/** What an octet may be part of, as bits of one table: a look-up per octet is all that reading a head costs. */
export const TOKEN = 1;
export const VALUE = 2;
export const TARGET = 4;
export const UNDERSCORE = 8;

export const HT = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

/**
 * - `TOKEN`: letters of methods and field names (RFC 9110 section 5.6.2)
 * - `VALUE`: letters of field values and reason phrases: visible ones, blank, tab, and 0x80 to 0xff (RFC 9110 section 5.5)
 * - `TARGET`: letters of a request target: visible ASCII but `#`, which never leaves a client (RFC 9112 section 3.2).
 *   Some of them (`"`, `<`, `>`, `\`, `^`, `` ` ``, `{`, `|`, `}`) are not in RFC 3986, yet browsers send them and no reader takes them for anything else.
 * - `UNDERSCORE`: that letter alone
 */
export const octets = ((): Uint8Array => {
  const table = new Uint8Array(256);
  for (let octet = 0x21; octet < 0x7f; octet += 1) table[octet] = VALUE | TARGET;
  for (let octet = 0x80; octet < 0x100; octet += 1) table[octet] = VALUE;
  table[HT] = table[SP] = VALUE;
  table[0x23] = VALUE; // #
  for (const letter of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
    const octet = letter.charCodeAt(0);
    table[octet] = (table[octet] ?? 0) | TOKEN;
  }
  table[0x5f] = (table[0x5f] ?? 0) | UNDERSCORE;
  return table;
})();

/** Whether `text` is a token: a method, a field name, an option of `Connection`. */
export function isToken(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (!hasBit(text.charCodeAt(at), TOKEN)) return false;
  return text !== "";
}

/** Whether `text` may stand as the value of a field. */
export const isFieldValue = (text: string): boolean => fieldValue.test(text);

/** What `VALUE` says of each letter, for texts: a pattern goes through them several times as fast as letter by letter. */
const fieldValue = /^[\t -~\x80-\xff]*$/;

/** Writes a short text, octet by octet. @returns false when it is no field value: then it is not written to its end */
export function writeFieldValue(text: string, bytes: Uint8Array, place: number): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const octet = text.charCodeAt(at);
    if (!hasBit(octet, VALUE)) return false;
    bytes[place + at] = octet;
  }
  return true;
}

/** Writes the last `digits` digits of a whole number. @returns what stands before them */
export function writeDigits(number: number, digits: number, bytes: Uint8Array, place: number): number {
  let rest = number;
  for (let at = place + digits - 1; at >= place; at -= 1) {
    const tenth = Math.floor(rest / 10);
    bytes[at] = 48 + rest - tenth * 10;
    rest = tenth;
  }
  return rest;
}

const hasBit = (octet: number, bit: number): boolean => octet < 256 && ((octets[octet] ?? 0) & bit) !== 0;
