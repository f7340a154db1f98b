import type { HeaderBlock } from "./head.ts";
import { CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE } from "./names.ts";
import { HT, SP } from "./octets.ts";
import type { RefusalCode } from "./refusal.ts";

/** The header lines of one message as they are read, and what they say about its framing. */
export class Fields implements HeaderBlock {
  text = "";
  /** -1: none has been looked for. */
  begin = -1;
  end = 0;
  count = 0;
  isRegular = true;
  seen = 0;
  readonly marks: number[] = [];
  namesOptions = false;
  problem: RefusalCode | undefined = undefined;
  hosts = 0;
  /** Empty where there is none. */
  host = "";
  /** The one of the head before, which was found good. */
  readonly hostBefore: string;
  lengths = 0;
  /** -1: not a plain number, or none. */
  length = -1;
  /** All values of Transfer-Encoding, joined. */
  codings: string | undefined = undefined;
  close = false;
  keepAlive = false;
  connectionUpgrade = false;
  upgrade: string | undefined = undefined;
  expectContinue = false;
  repeated = false;
  derived: unknown = undefined;
  known: unknown = undefined;
  #raw: string[] | undefined = undefined;

  constructor(hostBefore = "") {
    this.hostBefore = hostBefore;
  }

  get raw(): string[] { return this.#raw ??= linesIn(this.text, this.begin, this.end); }
}

/** Name, value, name, value of good lines. */
export function linesIn(text: string, begin: number, end: number): string[] {
  const raw: string[] = [];
  for (let at = begin; at < end;) {
    const colon = text.indexOf(":", at);
    const stop = text.indexOf("\r", colon);
    raw.push(text.slice(at, colon), trimBlanks(text.slice(colon + 1, stop)));
    at = stop + 2;
  }
  return raw;
}

/**
 * The few headers that matter to the framing. `tab`: whether one stood behind the value. White space like any other (RFC 9110 section 5.5),
 * but not to all readers: where it could hide a framing from one of them it stays, and is refused.
 */
export function note(fields: Fields, name: number, { value, tab }: { value: string; tab: boolean }): void {
  switch (name) {
    case HOST:
      fields.hosts += 1;
      // The same text as the same object, which is compared sooner.
      fields.host = value === fields.hostBefore ? fields.hostBefore : value;
      return;
    case EXPECT:
      if (value.toLowerCase() === "100-continue") fields.expectContinue = true;
      return;
    case UPGRADE: {
      const given = tab ? `${value}\t` : value;
      fields.upgrade = fields.upgrade === undefined ? given : `${fields.upgrade}, ${given}`;
      return;
    }
    case CONNECTION:
      noteConnection(fields, value.toLowerCase());
      return;
    case CONTENT_LENGTH:
      fields.lengths += value.includes(",") ? 2 : 1;
      fields.length = tab ? -1 : parseLength(value);
      return;
    case TRANSFER_ENCODING: {
      const given = tab ? `${value}\t` : value;
      fields.codings = fields.codings === undefined ? given : `${fields.codings},${given}`;
    }
  }
}

function noteConnection(fields: Fields, value: string): void {
  if (value === "keep-alive") fields.keepAlive = true;
  else if (value === "close") fields.close = true;
  else if (value === "upgrade") fields.connectionUpgrade = true;
  else {
    fields.namesOptions = true;
    for (const part of value.split(",")) {
      const option = trimBlanks(part);
      if (option === "close") fields.close = true;
      else if (option === "keep-alive") fields.keepAlive = true;
      else if (option === "upgrade") fields.connectionUpgrade = true;
    }
  }
}

/** Without blanks and tabs at both ends; `trim()` would take 0xa0 as well. */
export function trimBlanks(text: string): string {
  let from = 0;
  let end = text.length;
  while (from < end && isBlank(text.charCodeAt(from))) from += 1;
  while (end > from && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(from, end);
}

const isBlank = (letter: number): boolean => letter === SP || letter === HT;

/** Digits only, no leading zero (which some readers take for octal), no more than a number holds exactly; -1 otherwise. */
function parseLength(value: string): number {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(value)) return -1;
  const length = Number(value);
  return Number.isSafeInteger(length) ? length : -1;
}
