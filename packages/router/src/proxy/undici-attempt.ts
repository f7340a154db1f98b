import type { Dispatcher } from "undici";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer } from "./answer.ts";
import { noteDial } from "./dial-times.ts";
import { forwardAlone } from "./expect.ts";
import type { Exchange } from "./exchange.ts";
import { classify, isIdempotent, type FailedAttempt, type Progress } from "./failure.ts";
import { pairsOf } from "./flat-headers.ts";
import { passInterim } from "./interim.ts";
import { RequestBody, type BodyReader } from "./request-body.ts";
import { cut } from "./respond.ts";
import { deathNow, takeFresh } from "./undici-connect.ts";

/**
 * One request at undici's lowest level: raw headers in and out, body chunks handed on as they come, back-pressure by return value.
 * Its life: born → connected (`onConnect`) → answered (`onHeaders`) → over (`onComplete` or `onError`).
 */
export class UndiciAttempt implements Dispatcher.DispatchHandler, BodyReader {
  readonly #exchange: Exchange;
  readonly #endpoint: Endpoint;
  readonly #body: RequestBody | null;
  readonly #done: (failure: FailedAttempt | undefined) => void;
  readonly #timer: NodeJS.Timeout;
  #abort: ((error: Error) => void) | undefined = undefined;
  #resume: (() => void) | undefined = undefined;
  #stopped: "CLIENT_GONE" | "ENDPOINT_TIMEOUT" | undefined = undefined;
  #progress: Progress = "unsent";
  #answered = false;
  /** It says nothing but that it is about to say something. */
  #answerless = false;
  #over = false;
  /** Makes the attempt on a new connection. Once, and only where the connection was an old one. */
  #again: (() => void) | undefined;
  readonly #headers: readonly string[];
  #bodyIsLate = false;
  #reused = false;

  constructor(exchange: Exchange, endpoint: Endpoint, { headers, over, again }: { headers: readonly string[]; over: (failure: FailedAttempt | undefined) => void; again: () => void }) {
    this.#exchange = exchange;
    this.#endpoint = endpoint;
    this.#body = exchange.hasBody ? new RequestBody(exchange, this) : null;
    this.#done = over;
    this.#again = again;
    this.#headers = headers;
    this.#timer = setTimeout(() => this.#stop("ENDPOINT_TIMEOUT"), exchange.endpointTimeoutMs);
    exchange.whenClosed(() => this.#stop("CLIENT_GONE"));
  }

  get body(): RequestBody | null { return this.#body; }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort;
    if (this.#stopped !== undefined) {
      abort(new Error(this.#stopped));
      return;
    }
    this.#progress = "sent";
    const times = takeFresh(this.#endpoint.backend);
    this.#reused = times === undefined;
    noteDial(this.#exchange, times);
    this.#exchange.appStartedMs = performance.now();
  }

  onHeaders(status: number, rawHeaders: Buffer[], resume: () => void, reason: string): boolean {
    const headers = rawHeaders.map((part) => part.toString("latin1"));
    if (status < 200) {
      if (!passInterim(this.#exchange, status, headers)) {
        this.#answerless = true;
        this.#abort?.(new Error("more interim answers than are taken"));
      }
      return true;
    }
    this.#resume = resume;
    beginAnswer(this.#exchange, this.#endpoint, { status, reason: asLatin1(reason), headers });
    this.#answered = true;
    // Headers leave together with the first piece of the body, if it is here already; an app that thinks before it speaks is not waited for.
    process.nextTick(flushHead, this.#exchange);
    return true;
  }

  onData(chunk: Buffer): boolean {
    const { response } = this.#exchange;
    this.#exchange.bytesOut += chunk.length;
    if (response.write(chunk)) return true;
    response.once("drain", this.#resume as () => void);
    return false;
  }

  onComplete(trailers: string[] | null): void {
    const death = deathNow();
    if (death !== undefined) return this.onError(death);
    const { response } = this.#exchange;
    if (trailers !== null && trailers.length > 0 && response.chunkedEncoding) response.addTrailers(pairsOf(trailers.map(String)));
    this.#exchange.appFinishedMs = performance.now();
    response.end();
    this.#finish(undefined);
  }

  onError(error: Error): void {
    // An attempt can end with the client's body half read; what is left of it is of no use to anybody.
    this.#body?.destroy();
    if (this.#bodyIsLate && this.#stopped === undefined) {
      this.#release();
      void forwardAlone(this.#exchange, this.#endpoint, this.#headers).then(this.#done);
      return;
    }
    const failure: FailedAttempt = { code: this.#stopped ?? (this.#answerless ? "BAD_RESPONSE" : codeOf(error)), message: error.message, progress: this.#progress };
    if (!this.#answered) {
      if (!this.#tryAgain(failure)) this.#finish(failure);
      return;
    }
    this.#exchange.appFinishedMs = performance.now();
    if (failure.code !== "CLIENT_GONE") {
      this.#exchange.truncated = classify(failure).cause;
      this.#exchange.context.log.warn("router.answer.truncated", { endpoint: this.#endpoint.address, requestId: this.#exchange.requestId, code: failure.code, error: error.message });
      cut(this.#exchange);
    }
    this.#finish(undefined);
  }

  /** A kept connection that had run out, which only the writing showed (RFC 9112, 9.3.1): what may be repeated is, at the same endpoint. */
  #tryAgain({ code }: FailedAttempt): boolean {
    const again = this.#again;
    const { method, hasBody, idempotencyKey } = this.#exchange;
    if (again === undefined || !this.#reused || (code !== "EOF" && code !== "ECONNRESET" && code !== "EPIPE") || !isIdempotent(method, hasBody, idempotencyKey)) return false;
    this.#again = undefined;
    this.#abort = undefined;
    again();
    return true;
  }

  #stop(code: "CLIENT_GONE" | "ENDPOINT_TIMEOUT"): void {
    if (this.#over || this.#stopped !== undefined) return;
    this.#stopped = code;
    // Before a connection is there undici has nothing to abort: `onConnect` will see the mark, and the dial has its own limit.
    this.#abort?.(new Error(code));
  }

  /** undici sends no head before the body's first byte, and the app is to hear of the request now: it goes another way. */
  onLateBody(): void {
    if (this.#over || this.#stopped !== undefined) return;
    this.#bodyIsLate = true;
    this.#body?.stop();
    this.#exchange.request.pause();
    this.#abort?.(new Error("BODY_LATE"));
  }

  #release(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#exchange.whenClosed(undefined);
  }

  #finish(failure: FailedAttempt | undefined): void {
    if (this.#over) return;
    this.#release();
    this.#done(failure);
  }
}

/** undici reads the reason phrase as UTF-8, which no header line can be written in: back to its bytes. */
const asLatin1 = (text: string): string => (/^[\x20-\x7e]*$/.test(text) ? text : Buffer.from(text).toString("latin1"));

function flushHead({ response, bytesOut }: Exchange): void {
  if (bytesOut === 0 && !response.writableEnded && !response.destroyed) response.flushHeaders();
}

const codes: Record<string, string> = {
  UND_ERR_CONNECT_TIMEOUT: "DIAL_TIMEOUT",
  UND_ERR_SOCKET: "EOF",
  UND_ERR_HEADERS_OVERFLOW: "HEADERS_TOO_LARGE",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "BAD_RESPONSE",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "CLIENT_GONE",
};

function codeOf(error: Error & { code?: string }): string {
  const code = error.code ?? "";
  if (code === "UND_ERR_SOCKET") {
    const cause = deathNow()?.code;
    if (cause !== undefined) return cause;
    // A change of protocol that nobody asked for.
    if (error.message === "bad upgrade") return "BAD_RESPONSE";
  }
  return codes[code] ?? (error.name === "HTTPParserError" || code === "ERR_INVALID_CHAR" || code === "ERR_HTTP_INVALID_STATUS_CODE" ? "BAD_RESPONSE" : code);
}
