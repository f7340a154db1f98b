import { writeDigits } from "../http1/octets.ts";
import { accessLogLine, lineTime, wordsOf, type AccessLogOptions, type Words } from "./access-log.ts";
import { requestIdLetters } from "./request-id.ts";
import { passageTakenBy, type RequestRecord } from "./record.ts";

/** Letters of a time, and of a duration below ten seconds. */
const timeLetters = 30;
const durationLetters = 8;

/**
 * The classic line as bytes, in which only what is different is written anew: for requests that a client repeats on its connection,
 * and answers that are alike in status and length. It says what `accessLogLine` says.
 */
export class LineForm {
  readonly #bytes: Buffer;
  readonly #status: number;
  readonly #bytesIn: number;
  readonly #bytesOut: number;
  readonly #timeAt: number;
  readonly #idAt: number;

  private constructor(line: Buffer, words: Words, { status, bytesIn, bytesOut }: RequestRecord) {
    this.#bytes = line;
    this.#status = status;
    this.#bytesIn = bytesIn;
    this.#bytesOut = bytesOut;
    this.#timeAt = words.begin.length;
    this.#idAt = this.#timeAt + timeLetters + words.request.length + `${status} ${bytesIn} ${bytesOut}`.length + words.who.length + 1;
  }

  /** The form for this request's line; undefined where the line has to be put together. */
  static of(record: RequestRecord, options: AccessLogOptions): LineForm | undefined {
    if (passageTakenBy(record)?.isRepeated !== true || record.error !== undefined || record.warning !== undefined || record.requestId.length !== requestIdLetters) return undefined;
    const words = wordsOf(record, options);
    const held = words.form as LineForm | undefined;
    if (held !== undefined && held.#status === record.status && held.#bytesIn === record.bytesIn && held.#bytesOut === record.bytesOut) return held;
    if (record.status === 0 || options.extraFields !== undefined || options.extraHeaders !== undefined || !fits(record.timings.totalMs) || !fits(record.timings.routerMs)) return undefined;
    const line = accessLogLine(record, options);
    const bytes = Buffer.from(line);
    // One letter, one byte: else the places would be others.
    if (bytes.length !== line.length) return undefined;
    const made = new LineForm(bytes, words, record);
    words.form = made;
    return made;
  }

  get length(): number { return this.#bytes.length; }

  /** Writes this request's line. @returns false where it has to be put together; what was written then is of no account */
  writeTo(piece: Buffer, at: number, { receivedAtMs, requestId, timings: { totalMs, routerMs } }: RequestRecord): boolean {
    if (!fits(totalMs) || !fits(routerMs)) return false;
    piece.set(this.#bytes, at);
    const time = lineTime(receivedAtMs);
    const timeAt = at + this.#timeAt;
    for (let place = 0; place < timeLetters; place += 1) piece[timeAt + place] = time[place] as number;
    const idAt = at + this.#idAt;
    for (let place = 0; place < requestIdLetters; place += 1) {
      const letter = requestId.charCodeAt(place);
      if (letter <= 0x20 || letter >= 0x7f || letter === 0x22 || letter === 0x5c) return false;
      piece[idAt + place] = letter;
    }
    const totalAt = idAt + requestIdLetters + totalOffset;
    writeDuration(totalMs, piece, totalAt);
    writeDuration(routerMs, piece, totalAt + durationLetters + routerOffset);
    return true;
  }
}

/** From the end of the id to the first duration, and from the end of that to the second. */
const totalOffset = "\" response_time:".length;
const routerOffset = " gorouter_time:".length;

/** Whether a duration has as many letters as the form has room for. */
const fits = (ms: number): boolean => ms >= 0 && ms < 9_999.999;

/** Seconds with six digits behind the point. */
function writeDuration(ms: number, piece: Buffer, at: number): void {
  piece[at] = 48 + writeDigits(Math.round(ms * 1_000), 6, piece, at + 2);
}
