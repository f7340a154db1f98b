import { createHash } from "node:crypto";
import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer, flushHead } from "../proxy/answer.ts";
import { unfitCode } from "../proxy/answer-limit.ts";
import type { Exchange } from "../proxy/exchange.ts";
import type { FailedAttempt } from "../proxy/failure.ts";
import { cut } from "../proxy/respond.ts";
import { openTunnel } from "../proxy/upgrade.ts";
import { answerFields, requestHeaders } from "./attempt.ts";
import { type AttemptStream, openStream } from "./attempt-stream.ts";

/** A WebSocket to an endpoint that speaks HTTP/2: one stream, opened by an extended CONNECT (RFC 8441, 5). Resolves like `Engine.forward`. */
export function upgradeOver(session: ClientHttp2Session, exchange: Exchange, endpoint: Endpoint, flat: readonly string[]): Promise<FailedAttempt | undefined> {
  return new Promise((resolve) => {
    const headers = { ...requestHeaders(exchange, endpoint, flat), ":method": "CONNECT", ":protocol": "websocket" };
    const key = exchange.received("sec-websocket-key") ?? "";
    // The proof that the other side has understood is HTTP/1.1's; here the settings are.
    delete (headers as Record<string, unknown>)["sec-websocket-key"];
    const attempt = openStream(session, { exchange, headers, options: { endStream: false }, over: resolve });
    if (attempt === undefined) return;
    const { stream } = attempt;
    let answered = false;

    const fail = (error: NodeJS.ErrnoException | undefined): void => {
      if (!answered) attempt.finish(attempt.failureOf(error));
    };
    attempt.whenSent();
    stream.on("response", ((given: { ":status": number }, flags: number, raw: string[]) => {
      const status = given[":status"];
      const opened = status >= 200 && status < 300;
      const unfit = (cause: unknown): void => attempt.finish({ ...attempt.failureOf(undefined), code: unfitCode(cause), message: String(cause) });
      answered = true;
      if (!opened) {
        try { refused(exchange, endpoint, { status, headers: answerFields(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) }, attempt); } catch (cause) { unfit(cause); }
        return;
      }
      attempt.release();
      const fields = [...answerFields(raw, true), "Sec-WebSocket-Accept", createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")];
      openTunnel(exchange, endpoint, { status: 101, reason: "", headers: fields, upgrade: "websocket" }, { socket: asSocket(stream), head: Buffer.alloc(0) }).then(() => attempt.finish(undefined), unfit);
    }) as () => void);
    stream.on("error", fail);
    stream.on("close", () => fail(undefined));
  });
}

interface Refused { readonly status: number; readonly headers: readonly string[] }

/** The app answers instead: as an ordinary response. */
function refused(exchange: Exchange, endpoint: Endpoint, { status, headers }: Refused, attempt: AttemptStream): void {
  const { response } = exchange;
  const { stream } = attempt;
  beginAnswer(exchange, endpoint, { status, reason: "", headers });
  process.nextTick(flushHead, exchange);
  // Nothing of a tunnel comes any more.
  stream.end();
  stream.on("data", (chunk: Buffer) => {
    exchange.bytesOut += chunk.length;
    if (response.write(chunk)) return;
    stream.pause();
    response.once("drain", () => stream.resume());
  });
  let whole = false;
  stream.on("end", () => { whole = !stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR; });
  stream.on("close", () => {
    exchange.appFinishedMs = performance.now();
    if (whole) response.end();
    else if (!exchange.closed) {
      exchange.truncated = "EOF";
      cut(exchange);
    }
    attempt.finish(undefined);
  });
}

/** A stream with what a tunnel asks of a socket beyond that. */
function asSocket(stream: ClientHttp2Stream): Duplex {
  return Object.assign(stream as Duplex, {
    destroySoon: () => {
      if (stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR);
      else stream.end(() => stream.close(constants.NGHTTP2_NO_ERROR));
    },
    resetAndDestroy: () => stream.close(constants.NGHTTP2_CANCEL),
  });
}
