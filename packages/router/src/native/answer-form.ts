import { isFieldValue, writeFieldValue } from "../http1/octets.ts";
import { requestIdLetters } from "../proxy/request-id.ts";
import { dateLine } from "./answer-head.ts";

const idName = "X-Vcap-Request-Id: ";

/**
 * The head of an answer that an endpoint repeats, as bytes in which only the request's id and the date change.
 * The connection lives on behind it.
 */
export class AnswerForm {
  readonly chunked: boolean;
  readonly #bytes: Buffer;
  /** Where the id stands; -1 where the endpoint gives one of its own. */
  readonly #idAt: number;
  /** Where the line with the date stands; -1 where the endpoint writes one itself. */
  readonly #dateAt: number;
  #date: string;

  /** `text`: all lines but these two, without the empty one behind them. */
  constructor(text: string, { chunked, hasRequestId, hasDate }: { chunked: boolean; hasRequestId: boolean; hasDate: boolean }) {
    this.chunked = chunked;
    this.#date = hasDate ? "" : dateLine();
    const id = hasRequestId ? "" : `${idName}${"0".repeat(requestIdLetters)}\r\n`;
    this.#idAt = hasRequestId ? -1 : text.length + idName.length;
    this.#dateAt = hasDate ? -1 : text.length + id.length;
    this.#bytes = Buffer.from(`${text}${id}${this.#date}\r\n`, "latin1");
  }

  /** Whether this id can stand in it. */
  fits(requestId: string): boolean { return this.#idAt < 0 || (requestId.length === requestIdLetters && isFieldValue(requestId)); }

  get length(): number { return this.#bytes.length; }

  /** Writes the head to the beginning of `piece`, with an id that fits. */
  writeTo(piece: Buffer, requestId: string): void {
    if (this.#dateAt >= 0) {
      const date = dateLine();
      if (date !== this.#date) {
        this.#date = date;
        this.#bytes.write(date, this.#dateAt, "latin1");
      }
    }
    this.#bytes.copy(piece);
    if (this.#idAt >= 0) writeFieldValue(requestId, piece, this.#idAt);
  }

  /** The head in memory of its own. */
  filled(requestId: string): Buffer {
    const piece = Buffer.allocUnsafe(this.#bytes.length);
    this.writeTo(piece, requestId);
    return piece;
  }
}
