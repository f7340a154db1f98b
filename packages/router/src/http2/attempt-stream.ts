import { constants, type ClientHttp2Session, type ClientHttp2Stream, type ClientSessionRequestOptions, type OutgoingHttpHeaders } from "node:http2";
import type { Exchange } from "../proxy/exchange.ts";
import type { FailedAttempt, Progress } from "../proxy/failure.ts";
import { passInterim } from "../proxy/interim.ts";
import { hearOut } from "./hear-out.ts";

export interface StreamRequest {
  readonly exchange: Exchange;
  readonly headers: OutgoingHttpHeaders;
  readonly options: ClientSessionRequestOptions;
  /** Called once, at its end. */
  readonly over: (failure: FailedAttempt | undefined) => void;
}

/** The stream of one attempt: it ends when its time is over or its client has left, and tells of its end once. */
export class AttemptStream {
  readonly stream: ClientHttp2Stream;
  over = false;
  /** Why it was ended from here. */
  stopped: string | undefined = undefined;
  readonly #exchange: Exchange;
  readonly #told: StreamRequest["over"];
  readonly #timer: NodeJS.Timeout;
  #progress: Progress = "unsent";

  /** @throws what `session.request` throws */
  constructor(session: ClientHttp2Session, { exchange, headers, options, over }: StreamRequest) {
    const stream = this.stream = session.request(headers, options);
    hearOut(session, stream);
    this.#exchange = exchange;
    this.#told = over;
    this.#timer = setTimeout(() => this.stop("ENDPOINT_TIMEOUT"), exchange.endpointTimeoutMs);
    exchange.whenClosed(() => this.stop("CLIENT_GONE"));
    stream.on("headers", ((given: { ":status"?: number }, _: number, raw: string[]) => {
      if (!passInterim(exchange, given[":status"] ?? 100, raw)) this.stop("BAD_RESPONSE");
    }) as () => void);
  }

  stop(code: string): void {
    this.stopped ??= code;
    this.stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Calls `then` as soon as its head is on its way. */
  whenSent(then?: () => void): void {
    const sent = (): void => {
      this.#progress = "sent";
      this.#exchange.appStartedMs = performance.now();
      then?.();
    };
    if (this.stream.pending) this.stream.once("ready", sent);
    else sent();
  }

  failureOf(error: NodeJS.ErrnoException | undefined): FailedAttempt {
    const { stream } = this;
    const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    return { code: this.stopped ?? codeOf(error, stream), message: error?.message ?? `stream closed with code ${stream.rstCode}`, progress: refused ? "unsent" : this.#progress };
  }

  /** It has no time of its own any more, and its client's leaving is somebody else's to notice. */
  release(): void {
    clearTimeout(this.#timer);
    this.#exchange.whenClosed(undefined);
  }

  finish(failure: FailedAttempt | undefined): void {
    if (this.over) return;
    this.over = true;
    this.release();
    // A client that has its answer need not send the rest.
    if (!this.stream.closed) this.stream.close(failure === undefined ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
    this.#told(failure);
  }
}

/** Opens one; where the connection ended in this very moment, that is told and there is none. */
export function openStream(session: ClientHttp2Session, request: StreamRequest): AttemptStream | undefined {
  try {
    return new AttemptStream(session, request);
  } catch (cause) {
    request.over({ code: (cause as NodeJS.ErrnoException).code ?? "", message: (cause as Error).message, progress: "unsent" });
    return undefined;
  }
}

/** What a stream failed with, in the words of the failure table. */
function codeOf(error: NodeJS.ErrnoException | undefined, { rstCode }: ClientHttp2Stream): string {
  const cause = (error as { cause?: NodeJS.ErrnoException } | undefined)?.cause?.code ?? error?.code ?? "";
  if (cause === "ECONNRESET" || cause === "EPIPE" || cause === "ETIMEDOUT") return "ECONNRESET";
  return rstCode === constants.NGHTTP2_PROTOCOL_ERROR || rstCode === constants.NGHTTP2_COMPRESSION_ERROR ? "BAD_RESPONSE" : "EOF";
}
