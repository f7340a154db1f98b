import { randomFillSync } from "node:crypto";

/** Random bytes for this many ids are drawn at once: each draw costs more than an id. */
const batch = 256;
const random = Buffer.alloc(16 * batch);
let used = random.length;
/** Length of an id. */
export const requestIdLetters = 36;
const text = Buffer.alloc(requestIdLetters, "-");
const digits = Buffer.from("0123456789abcdef");
/** Where in the text the two digits of each byte stand (RFC 9562 section 4). */
const places = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/** A random UUID, version 4: the same as `crypto.randomUUID`, in one piece of memory instead of twenty. */
export function newRequestId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  for (let at = 0; at < 16; at += 1) {
    let byte = random[used + at] as number;
    if (at === 6) byte = (byte & 0x0f) | 0x40;
    else if (at === 8) byte = (byte & 0x3f) | 0x80;
    const place = places[at] as number;
    text[place] = digits[byte >> 4] as number;
    text[place + 1] = digits[byte & 15] as number;
  }
  used += 16;
  return text.toString("latin1");
}
