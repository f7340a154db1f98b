import type { EndpointNames } from "../endpoint.ts";
import { writeDigits, writeFieldValue } from "../http1/octets.ts";
import type { Exchange } from "../proxy/exchange.ts";
import type { PassageHeaders, Passage } from "../proxy/passage.ts";
import { requestIdLetters } from "../proxy/request-id.ts";
import { isTarget, requestLine } from "./request-head.ts";
import type { Writer } from "./write-direct.ts";

/** As many digits as milliseconds since the epoch have until the year 2286. */
const timeDigits = 13;

/**
 * The head of a request as bytes, in which only what is different is written anew: for requests that a client repeats on its connection.
 * It is written over with the next one; until then the system has mostly taken it, else it is left to whoever still waits for it.
 */
export class RequestForm implements Writer {
  readonly bytes: Buffer;
  readonly #passage: Passage;
  readonly #names: EndpointNames;
  readonly #method: string;
  readonly #target: string;
  readonly #timeAt: number;
  readonly #idAt: number;

  private constructor({ method, target }: Exchange, { passage, names }: PassageHeaders) {
    const begin = `${requestLine(method, target)}${passage.lines.text}X-Request-Start: `;
    const middle = "\r\nX-Vcap-Request-Id: ";
    this.#passage = passage;
    this.#names = names;
    this.#method = method;
    this.#target = target;
    this.#timeAt = begin.length;
    this.#idAt = begin.length + timeDigits + middle.length;
    this.bytes = Buffer.from(`${begin}${"0".repeat(timeDigits)}${middle}${"0".repeat(requestIdLetters)}\r\n${names.text}\r\n`, "latin1");
  }

  /** The form for this request, filled in; undefined where its head has to be put together. */
  static of(exchange: Exchange, headers: PassageHeaders): RequestForm | undefined {
    const { requestId, receivedAtMs, method, target, hasBody } = exchange;
    const { passage, names } = headers;
    if (!passage.isRepeated || hasBody || requestId.length !== requestIdLetters || !(receivedAtMs >= 1e12 && receivedAtMs < 1e13) || passage.forwarding.requestStart !== "") return undefined;
    let form = passage.form as RequestForm | undefined;
    // A body of no bytes is said where one is expected: not here.
    if (form === undefined || form.#names !== names || form.#target !== target || form.#method !== method) {
      if ((method !== "GET" && method !== "HEAD") || !isTarget(target)) return undefined;
      passage.form = form = new RequestForm(exchange, headers);
    }
    return form.#fill(receivedAtMs, requestId) ? form : undefined;
  }

  /** @returns false when the id has letters that no line can carry */
  #fill(timeMs: number, requestId: string): boolean {
    const { bytes } = this;
    writeDigits(Math.floor(timeMs), timeDigits, bytes, this.#timeAt);
    return writeFieldValue(requestId, bytes, this.#idAt);
  }

  onWritten(): void { /* The next one may be written into it. */ }
  /** It is still to be written: the next request gets a new one. */
  onLate(): void { this.#passage.form = undefined; }
}
