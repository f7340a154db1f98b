import { constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer, flushHead } from "../proxy/answer.ts";
import { unfitCode } from "../proxy/answer-limit.ts";
import { originOf, type Exchange } from "../proxy/exchange.ts";
import { classify, type FailedAttempt, type Progress } from "../proxy/failure.ts";
import { pairsOf } from "../proxy/flat-headers.ts";
import { passInterim } from "../proxy/interim.ts";
import { RequestBody } from "../proxy/request-body.ts";
import { cut } from "../proxy/respond.ts";
import { passedTrailers } from "../proxy/trailers.ts";
import { answerHeaders } from "./head.ts";

/** One request on a connection to an endpoint; see `Engine.forward`. */
export function attemptOver(session: ClientHttp2Session, exchange: Exchange, endpoint: Endpoint, headers: readonly string[]): Promise<FailedAttempt | undefined> {
  return new Promise((resolve) => {
    const { response } = exchange;
    const body = exchange.hasBody ? new RequestBody(exchange) : undefined;
    // A length says that nothing follows.
    const mayTrail = body !== undefined && exchange.received("content-length") === undefined;
    let progress: Progress = "unsent";
    let stopped: string | undefined;
    let answered = false;
    let over = false;
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(requestHeaders(exchange, endpoint, headers), { endStream: body === undefined, waitForTrailers: mayTrail });
      // What came behind the body in front goes behind it here.
      if (mayTrail) stream.once("wantTrailers", () => stream.sendTrailers(answerHeaders(passedTrailers(exchange.request.rawTrailers))));
    } catch (cause) {
      // The connection ended in this very moment.
      resolve({ code: (cause as NodeJS.ErrnoException).code ?? "", message: (cause as Error).message, progress });
      return;
    }
    const stop = (code: string): void => {
      stopped ??= code;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const timer = setTimeout(() => stop("ENDPOINT_TIMEOUT"), exchange.endpointTimeoutMs);
    exchange.whenClosed(() => stop("CLIENT_GONE"));

    function finish(failure: FailedAttempt | undefined): void {
      if (over) return;
      over = true;
      clearTimeout(timer);
      exchange.whenClosed(undefined);
      body?.destroy();
      // A client that has its answer need not send the rest.
      if (!stream.closed) stream.close(failure === undefined ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
      resolve(failure);
    }

    function fail(error: NodeJS.ErrnoException | undefined): void {
      if (over) return;
      const failure: FailedAttempt = { code: stopped ?? codeOf(error, stream), message: error?.message ?? `stream closed with code ${stream.rstCode}`, progress: stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ? "unsent" : progress };
      if (answered) {
        exchange.appFinishedMs = performance.now();
        if (failure.code !== "CLIENT_GONE") {
          exchange.truncated = classify(failure).cause;
          exchange.context.log.warn("router.answer.truncated", { endpoint: endpoint.address, requestId: exchange.requestId, code: failure.code, error: failure.message });
          cut(exchange);
        }
      }
      finish(answered ? undefined : failure);
    }

    const sent = (): void => {
      progress = "sent";
      exchange.appStartedMs = performance.now();
      if (body === undefined) return;
      body.on("error", (error: NodeJS.ErrnoException) => stop(error.code === "BODY_TOO_LARGE" ? error.code : "CLIENT_GONE"));
      body.pipe(stream);
    };
    if (stream.pending) stream.once("ready", sent);
    else sent();

    stream.on("headers", ((given: IncomingHttpHeaders & { ":status"?: number }, _: number, raw: string[]) => {
      if (!passInterim(exchange, given[":status"] ?? 100, raw)) stop("BAD_RESPONSE");
    }) as () => void);
    stream.on("response", ((given: { ":status": number }, flags: number, raw: string[]) => {
      const single = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      try {
        beginAnswer(exchange, endpoint, { status: given[":status"], reason: "", headers: answerFields(raw, single) });
      } catch (cause) {
        stopped = unfitCode(cause);
        fail(cause as Error);
        return;
      }
      answered = true;
      if (!single) process.nextTick(flushHead, exchange);
    }) as () => void);
    stream.on("data", (chunk: Buffer) => {
      exchange.bytesOut += chunk.length;
      if (response.write(chunk)) return;
      stream.pause();
      response.once("drain", () => stream.resume());
    });
    stream.on("trailers", ((_: unknown, __: number, raw: string[]) => {
      if (!response.chunkedEncoding || over) return;
      response.addTrailers(pairsOf(raw));
    }) as () => void);
    stream.on("end", () => {
      if (!answered || stream.aborted || stopped !== undefined || (stream.rstCode !== constants.NGHTTP2_NO_ERROR)) return;
      exchange.appFinishedMs = performance.now();
      response.end();
      finish(undefined);
    });
    stream.on("error", fail);
    stream.on("close", () => fail(undefined));
  });
}

/** A request's head in HTTP/2's words. */
export function requestHeaders(exchange: Exchange, endpoint: Endpoint, flat: readonly string[]): OutgoingHttpHeaders {
  const headers = answerHeaders(flat);
  const authority = headers["host"];
  delete headers["host"];
  return {
    ":method": exchange.method, ":path": originOf(exchange.target), ":scheme": endpoint.backend.tls ? "https" : "http",
    ...(authority === undefined || authority === "" ? {} : { ":authority": authority }), ...headers,
  };
}

/** The head in HTTP/1.1's words: a body of unknown length says so. */
export function answerFields(raw: readonly string[], single: boolean): string[] {
  const out: string[] = [];
  let length = false;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    if (name.startsWith(":")) continue;
    if (name === "content-length") length = true;
    out.push(name, raw[at + 1] as string);
  }
  if (!length && !single) out.push("transfer-encoding", "chunked");
  return out;
}

/** What a stream failed with, in the words of the failure table. */
export function codeOf(error: NodeJS.ErrnoException | undefined, { rstCode }: ClientHttp2Stream): string {
  const cause = (error as { cause?: NodeJS.ErrnoException } | undefined)?.cause?.code ?? error?.code ?? "";
  if (cause === "ECONNRESET" || cause === "EPIPE" || cause === "ETIMEDOUT") return "ECONNRESET";
  return rstCode === constants.NGHTTP2_PROTOCOL_ERROR || rstCode === constants.NGHTTP2_COMPRESSION_ERROR ? "BAD_RESPONSE" : "EOF";
}
