import { constants, type ClientHttp2Session, type OutgoingHttpHeaders } from "node:http2";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer, flushHead } from "../proxy/answer.ts";
import { unfitCode } from "../proxy/answer-limit.ts";
import { originOf, type Exchange } from "../proxy/exchange.ts";
import { classify, type FailedAttempt } from "../proxy/failure.ts";
import { pairsOf } from "../proxy/flat-headers.ts";
import { RequestBody } from "../proxy/request-body.ts";
import { cut } from "../proxy/respond.ts";
import { passedTrailers } from "../proxy/trailers.ts";
import { openStream } from "./attempt-stream.ts";
import { answerHeaders } from "./head.ts";

/** One request on a connection to an endpoint; see `Engine.forward`. */
export function attemptOver(session: ClientHttp2Session, exchange: Exchange, endpoint: Endpoint, headers: readonly string[]): Promise<FailedAttempt | undefined> {
  return new Promise((resolve) => {
    const { response } = exchange;
    const body = exchange.hasBody ? new RequestBody(exchange) : undefined;
    // A length says that nothing follows.
    const mayTrail = body !== undefined && exchange.received("content-length") === undefined;
    const over = (failure: FailedAttempt | undefined): void => {
      body?.destroy();
      resolve(failure);
    };
    const attempt = openStream(session, {
      exchange, headers: requestHeaders(exchange, endpoint, headers), options: { endStream: body === undefined, waitForTrailers: mayTrail }, over,
    });
    if (attempt === undefined) return;
    const { stream } = attempt;
    let answered = false;
    // What came behind the body in front goes behind it here.
    if (mayTrail) stream.once("wantTrailers", () => stream.sendTrailers(answerHeaders(passedTrailers(exchange.request.rawTrailers))));

    const fail = (error: NodeJS.ErrnoException | undefined): void => {
      if (attempt.over) return;
      const failure = attempt.failureOf(error);
      if (answered) {
        exchange.appFinishedMs = performance.now();
        if (failure.code !== "CLIENT_GONE") {
          exchange.truncated = classify(failure).cause;
          exchange.context.log.warn("router.answer.truncated", { endpoint: endpoint.address, requestId: exchange.requestId, code: failure.code, error: failure.message });
          cut(exchange);
        }
      }
      attempt.finish(answered ? undefined : failure);
    };

    attempt.whenSent(() => {
      if (body === undefined) return;
      body.on("error", (error: NodeJS.ErrnoException) => attempt.stop(error.code === "BODY_TOO_LARGE" ? error.code : "CLIENT_GONE"));
      body.pipe(stream);
    });
    stream.on("response", ((given: { ":status": number }, flags: number, raw: string[]) => {
      const single = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      try {
        beginAnswer(exchange, endpoint, { status: given[":status"], reason: "", headers: answerFields(raw, single) });
      } catch (cause) {
        attempt.stopped = unfitCode(cause);
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
      if (!response.chunkedEncoding || attempt.over) return;
      response.addTrailers(pairsOf(raw));
    }) as () => void);
    stream.on("end", () => {
      if (!answered || stream.aborted || attempt.stopped !== undefined || (stream.rstCode !== constants.NGHTTP2_NO_ERROR)) return;
      exchange.appFinishedMs = performance.now();
      response.end();
      attempt.finish(undefined);
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
