import type { IncomingMessage } from "node:http";
import type { Endpoint } from "../endpoint.ts";
import { unfitCode } from "./answer-limit.ts";
import { localEnd, noteDial, timeDial } from "./dial-times.ts";
import type { Exchange } from "./exchange.ts";
import { pairsOf } from "./flat-headers.ts";
import { passInterim } from "./interim.ts";
import type { FailedAttempt, Progress } from "./failure.ts";
import { requestOnItsOwn } from "./own-request.ts";
import { questionConnections } from "./question-connections.ts";
import { relay } from "./relay.ts";
import { RequestBody } from "./request-body.ts";
import { passedTrailers } from "./trailers.ts";

/** How long an app may think about whether it wants the body; then it is sent, as to one that does not know the question (RFC 9110, 10.1.1; gorouter). */
const thinkingMs = 1_000;

/**
 * One attempt for a client that asks before it sends its body (`Expect: 100-continue`): the app is asked, and what it says is
 * passed on. On a connection of its own, closed afterwards unless `reuseExpectConnections` says otherwise: an app that has refused a body may
 * still read what comes next as if it were that body. Resolves like `Engine.forward`.
 */
export const forwardExpecting = (exchange: Exchange, endpoint: Endpoint, headers: readonly string[]): Promise<FailedAttempt | undefined> =>
  forwardAlone(exchange, endpoint, headers, { asks: ["Expect", "100-continue"] });

/** How an app is asked for the body: with these headers. `fresh`: on no connection that was used before. */
interface Question { readonly asks?: readonly string[]; readonly fresh?: boolean }

/**
 * One attempt on a connection of its own that nobody uses afterwards; the head is sent at once, the body when the app wants it, which without
 * a question is at once. Resolves like `Engine.forward`.
 */
export function forwardAlone(exchange: Exchange, endpoint: Endpoint, headers: readonly string[], question: Question = {}): Promise<FailedAttempt | undefined> {
  const { backend } = endpoint;
  const { settings } = exchange.context;
  const { asks = [], fresh = false } = question;
  return new Promise((resolve) => {
    let progress: Progress = "unsent";
    let stopped: string | undefined;
    let answered = false;
    let body: RequestBody | undefined;
    let thinking: NodeJS.Timeout | undefined;
    const chunked = exchange.received("content-length") === undefined && (exchange.hasBody || asks.length > 0);
    const framed = chunked ? ["Transfer-Encoding", "chunked"] : [];
    const reused = !fresh && asks.length > 0 && settings.reuseExpectConnections && settings.backendIdleMs > 0;
    const attempt = requestOnItsOwn(exchange, endpoint, [...headers, ...framed, ...asks, "Connection", reused ? "keep-alive" : "close"], reused ? questionConnections(backend, settings) : false);
    const stop = (code: string): void => {
      stopped ??= code;
      attempt.destroy(new Error(code));
    };
    let timer = setTimeout(() => stop("DIAL_TIMEOUT"), settings.dialTimeoutMs);

    /** Asks the client for its body, and sends it on. */
    function send(): void {
      clearTimeout(thinking);
      if (body !== undefined || answered || stopped !== undefined) return;
      body = new RequestBody(exchange);
      body.on("error", (error: NodeJS.ErrnoException) => stop(error.code === "BODY_TOO_LARGE" ? error.code : "CLIENT_GONE"));
      // Before the stream's own end, which is the last chunk.
      body.once("end", () => {
        const trailers = passedTrailers(exchange.request.rawTrailers);
        if (trailers.length > 0 && chunked) attempt.addTrailers(pairsOf(trailers) as never);
      });
      body.pipe(attempt);
    }

    function finish(failure: FailedAttempt | undefined): void {
      clearTimeout(timer);
      clearTimeout(thinking);
      exchange.whenClosed(undefined);
      body?.destroy();
      attempt.destroy();
      resolve(failure);
    }

    exchange.whenClosed(() => stop("CLIENT_GONE"));
    attempt.flushHeaders();
    attempt.on("socket", (socket) => {
      const times = attempt.reusedSocket ? undefined : timeDial(socket, backend.tls);
      const connected = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => stop("ENDPOINT_TIMEOUT"), exchange.endpointTimeoutMs);
        if (asks.length > 0) thinking = setTimeout(send, thinkingMs);
        else if (exchange.hasBody) send();
        else attempt.end();
        noteDial(exchange, times, localEnd(socket));
        progress = "sent";
        exchange.appStartedMs = performance.now();
      };
      if (attempt.reusedSocket) connected();
      else socket.once(backend.tls ? "secureConnect" : "connect", connected);
    });
    attempt.on("continue", send);
    attempt.on("information", ({ statusCode, rawHeaders }: { statusCode: number; rawHeaders: string[] }) => {
      if (!passInterim(exchange, statusCode, rawHeaders)) stop("BAD_RESPONSE");
    });
    attempt.on("response", (answer: IncomingMessage) => {
      answered = true;
      clearTimeout(thinking);
      // What it holds back, or has not sent to the end, cannot be told from its next request.
      exchange.closesAfter = !exchange.request.complete;
      relay(exchange, endpoint, answer).then(() => finish(undefined), (cause: Error) => finish({ code: unfitCode(cause), message: cause.message, progress }));
    });
    attempt.on("error", (error: NodeJS.ErrnoException) => {
      if (answered) return;
      const code = stopped ?? (error.code === "ECONNRESET" && error.message === "socket hang up" ? "EOF" : error.code?.startsWith("HPE_") === true ? "BAD_RESPONSE" : error.code ?? "");
      if (!attempt.reusedSocket || body !== undefined || stopped !== undefined) return finish({ code, message: error.message, progress });
      // A kept connection that had run out, which only the writing showed: with a body that was only announced nothing was done.
      clearTimeout(timer);
      clearTimeout(thinking);
      resolve(forwardAlone(exchange, endpoint, headers, { asks, fresh: true }));
    });
  });
}
