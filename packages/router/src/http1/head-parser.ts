import { Fields } from "./field-lines.ts";
import { pausedAt, readFields, REFUSED, type Lines } from "./fields.ts";
import type { RequestHead, ResponseHead } from "./head.ts";
import { Kept } from "./last-head.ts";
import { withDefaults, type Http1Limits } from "./limits.ts";
import { CR, LF, octets, VALUE } from "./octets.ts";
import { refusalOf, type Refusal, type RefusalCode } from "./refusal.ts";
import { requestRules, responseRules, type HeadRules } from "./head-rules.ts";

/** Reads heads from the bytes of a connection, in whatever pieces they come. */
export interface HeadParser<Head> {
  /**
   * Takes `chunk` from `from` on.
   * @returns the head, a refusal (which ends the connection), or undefined: everything was taken and more is needed
   */
  push(chunk: Buffer, from?: number): Head | Refusal | undefined;
  /** Behind a head: where in the last chunk the body, or the next message, begins. */
  readonly next: number;
  /** Whether some of a head has come and the rest has not: an end of the connection now is a truncated message. */
  readonly begun: boolean;
  /** Lets go of what is kept of the last head in case that the next one repeats it. */
  forget(): void;
}

/** Response heads depend on the request they answer. */
export interface ResponseHeadParser extends HeadParser<ResponseHead> {
  /** The method of the request whose response comes next: HEAD and CONNECT change the framing. */
  method: string;
}

/**
 * A parser of request heads, strict as RFC 9112 lets an edge be: what two readers could take in two ways is refused.
 * One parser serves all requests of one connection, one after the other.
 */
export const createRequestHeadParser = (limits: Http1Limits = {}): HeadParser<RequestHead> => new LineParser(requestRules, limits, "GET");

/** The same for responses, interim ones included. `method` is "GET" until it is set. */
export const createResponseHeadParser = (limits: Http1Limits = {}): ResponseHeadParser => new LineParser(responseRules, limits, "GET");

const headEnd = "\r\n\r\n";
/** Most heads are no larger than this: so much is made text of before their end is known. */
const usualBytes = 2_048;

/**
 * Goes line by line, each octet once: a line is read only when it is whole, and until then its pieces are put aside unread,
 * but for a look at whether any honest head could contain them. Header lines that are those of the head before, byte by byte,
 * are not read again: most clients and apps repeat themselves on a connection.
 */
class LineParser<Line extends { readonly next: number }, Head extends object> implements HeadParser<Head> {
  next = 0;
  method: string;
  readonly #rules: HeadRules<Line, Head>;
  readonly #maxBytes: number;
  readonly #maxHeaders: number;
  #line: Line | undefined;
  #fields = new Fields();
  /** Of the last head: most clients ask one host again and again. */
  #host = "";
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes of this head that are read and gone. */
  #spent = 0;
  #skippedBlankLine = false;
  /** The last head's header lines, and the whole of it with the method that it depends on. */
  readonly #lastFields = new Kept<Fields>();
  readonly #lastHead = new Kept<{ readonly head: Head; readonly method: string }>();

  constructor(rules: HeadRules<Line, Head>, limits: Http1Limits, method: string) {
    const { maxHeadBytes, maxHeaders } = withDefaults(limits);
    this.#rules = rules;
    this.#maxBytes = maxHeadBytes;
    this.#maxHeaders = maxHeaders;
    this.method = method;
  }

  get begun(): boolean {
    return this.#line !== undefined || this.#heldBytes > 0;
  }

  push(chunk: Buffer, from = 0): Head | Refusal | undefined {
    if (this.#heldBytes === 0) return this.#readSame(chunk, from) ?? this.#read(chunk, from, 0);
    const piece = from === 0 ? chunk : chunk.subarray(from);
    if (!piece.includes(LF)) return this.#hold(piece);
    const before = this.#heldBytes;
    const whole = Buffer.concat([...this.#held, piece]);
    this.#held = [];
    this.#heldBytes = 0;
    return this.#read(whole, 0, from - before);
  }

  /** The head before, byte by byte: then its end need not be looked for. */
  #readSame(chunk: Buffer, from: number): Head | undefined {
    if (this.#line !== undefined) return undefined;
    const same = this.#lastHead.findFirst(chunk, from);
    if (same === undefined || same.method !== this.method) return undefined;
    this.next = from + this.#lastHead.length;
    return same.head;
  }

  /** Reads the whole lines of `bytes`; `shift` leads from a place in `bytes` to the same place in the caller's chunk. */
  #read(bytes: Buffer, from: number, shift: number): Head | Refusal | undefined {
    const limit = Math.min(bytes.length, from + this.#maxBytes - this.#spent);
    let text = bytes.toString("latin1", from, Math.min(limit, from + usualBytes));
    let found = text.indexOf(headEnd);
    if (found < 0 && from + usualBytes < limit) {
      text = bytes.toString("latin1", from, limit);
      found = text.indexOf(headEnd);
    }
    const complete = found >= 0;
    const stop = from + (complete ? found + headEnd.length : text.lastIndexOf("\n") + 1);
    let at = from;
    const fresh = complete && this.#line === undefined;
    if (fresh) {
      const known = this.#readRepeated(bytes, from, { text, stop, shift });
      if (known !== undefined) return known;
    }
    if (stop > from) {
      const lines: Lines = { bytes, text: complete ? text : text.slice(0, stop - from), base: from, stop };
      if (this.#line === undefined) {
        if (bytes[at] === CR && bytes[at + 1] === LF && this.#rules.skipsBlankLine && !this.#skippedBlankLine) {
          this.#skippedBlankLine = true;
          at += 2;
        }
        if (at < stop) {
          const line = this.#rules.readLine(lines, at);
          if (typeof line === "string") return this.#refuse(line);
          this.#line = line;
          at = line.next;
        }
      }
      if (this.#line !== undefined) {
        const begun = at;
        const stopped = readFields(lines, at, this.#fields, this.#maxHeaders);
        if (stopped === REFUSED) return this.#refuse(this.#fields.problem ?? "bad_field_name");
        if (stopped >= 0) {
          if (fresh) this.#lastFields.keep(bytes, begun, stopped, this.#fields);
          return this.#finish(this.#line, this.#fields, stopped + shift);
        }
        at = pausedAt(stopped);
      }
      this.#spent += at - from;
    }
    return at < bytes.length ? this.#hold(at === 0 ? bytes : bytes.subarray(at)) : undefined;
  }

  /** Puts aside the beginning of a line. */
  #hold(piece: Buffer): Refusal | undefined {
    for (let at = 0; at < piece.length; at += 1) {
      const octet = piece[at] as number;
      if (((octets[octet] as number) & VALUE) === 0 && octet !== CR && octet !== LF) return this.#refuse("control_character");
    }
    this.#heldBytes += piece.length;
    if (this.#spent + this.#heldBytes > this.#maxBytes) return this.#refuse("head_too_large");
    // A copy: the rest of the chunk is not to be kept alive by a few bytes, nor may its owner write over them.
    this.#held.push(Buffer.from(piece));
    return undefined;
  }

  /** A head of which at most the first line is new; undefined when there is more that is new. */
  #readRepeated(bytes: Buffer, from: number, { text, stop, shift }: { text: string; stop: number; shift: number }): Head | Refusal | undefined {
    const same = this.#lastHead.find(bytes, from, stop);
    if (same !== undefined && same.method === this.method) {
      this.next = stop + shift;
      return same.head;
    }
    if (this.#lastFields.length === 0) return undefined;
    const begun = from + text.indexOf("\n") + 1;
    const fields = this.#lastFields.find(bytes, begun, stop);
    if (fields === undefined) return undefined;
    const line = this.#rules.readLine({ bytes, text, base: from, stop: begun }, from);
    // What is wrong with it is said by who reads the whole.
    if (typeof line === "string" || line.next !== begun) return undefined;
    fields.repeated = true;
    const head = this.#finish(line, fields, stop + shift);
    if (!("code" in head)) this.#lastHead.keep(bytes, from, stop, { head, method: this.method });
    return head;
  }

  /** Lets go of what is kept for the next head: for connections that rest. */
  forget(): void {
    this.#lastFields.forget();
    this.#lastHead.forget();
    if (this.#host === "" || this.begun) return;
    // It is a piece of the text of its head, and keeps all of that.
    this.#host = "";
    this.#fields = new Fields();
  }

  #finish(line: Line, fields: Fields, next: number): Head | Refusal {
    const head = this.#rules.finish(line, fields, this.method);
    if (typeof head !== "string") this.#host = fields.host;
    this.next = next;
    this.#reset();
    return typeof head === "string" ? refusalOf(this.#rules.side, head) : head;
  }

  #refuse(code: RefusalCode): Refusal {
    this.#reset();
    return refusalOf(this.#rules.side, code);
  }

  #reset(): void {
    this.#line = undefined;
    this.#fields = new Fields(this.#host);
    this.#held = [];
    this.#heldBytes = 0;
    this.#spent = 0;
    this.#skippedBlankLine = false;
  }
}
