import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer, clientHead, type AnswerHead } from "./answer.ts";
import { unfitCode } from "./answer-limit.ts";
import { noteDial, timeDial } from "./dial-times.ts";
import type { Exchange, Upgrade } from "./exchange.ts";
import type { FailedAttempt, Progress } from "./failure.ts";
import { reasonOf } from "./fault.ts";
import { passInterim } from "./interim.ts";
import { join } from "./join.ts";
import { rememberTunnel } from "./leave-taking.ts";
import { requestOnItsOwn } from "./own-request.ts";
import { relay } from "./relay.ts";

/**
 * One attempt to upgrade: a connection of its own, since nobody else will ever use it again.
 * 101 joins the two sockets until either side ends; any other answer goes back as an ordinary response.
 * Resolves like `Engine.forward`.
 */
export function forwardUpgrade(exchange: Exchange, endpoint: Endpoint, headers: string[]): Promise<FailedAttempt | undefined> {
  if (exchange.method !== "CONNECT") headers.push("Connection", "Upgrade", "Upgrade", exchange.received("upgrade") ?? "websocket");
  const { backend } = endpoint;
  const { settings } = exchange.context;
  return new Promise((resolve) => {
    let progress: Progress = "unsent";
    let stopped: string | undefined;
    let answered = false;
    const attempt = requestOnItsOwn(exchange, endpoint, headers);
    const stop = (code: string): void => {
      stopped ??= code;
      attempt.destroy(new Error(code));
    };
    let timer = setTimeout(() => stop("DIAL_TIMEOUT"), settings.dialTimeoutMs);

    function finish(failure: FailedAttempt | undefined): void {
      clearTimeout(timer);
      exchange.whenClosed(undefined);
      resolve(failure);
    }

    exchange.whenClosed(() => stop("CLIENT_GONE"));
    attempt.on("socket", (socket) => {
      const times = timeDial(socket, backend.tls);
      socket.once(backend.tls ? "secureConnect" : "connect", () => {
        clearTimeout(timer);
        timer = setTimeout(() => stop("ENDPOINT_TIMEOUT"), exchange.endpointTimeoutMs);
        progress = "sent";
        noteDial(exchange, times);
        exchange.appStartedMs = performance.now();
      });
    });
    const opened = (answer: IncomingMessage, socket: Duplex, head: Buffer): void => {
      clearTimeout(timer);
      exchange.whenClosed(undefined);
      answered = true;
      openTunnel(exchange, endpoint, { status: answer.statusCode as number, reason: answer.statusMessage ?? "", headers: answer.rawHeaders, upgrade: answer.headers.upgrade }, { socket, head }).then(() => finish(undefined), (cause: Error) => {
        socket.destroy();
        finish({ code: unfitCode(cause), message: cause.message, progress });
      });
    };
    attempt.on("information", ({ statusCode, rawHeaders }: { statusCode: number; rawHeaders: string[] }) => {
      if (!passInterim(exchange, statusCode, rawHeaders)) stop("BAD_RESPONSE");
    });
    attempt.on("upgrade", opened);
    attempt.on("connect", (answer, socket, head) => {
      const status = answer.statusCode as number;
      if (status >= 200 && status < 300) opened(answer, socket, head);
      else {
        // Refused: node:http reads no body after CONNECT, so the head has to do.
        answered = true;
        socket.destroy();
        beginAnswer(exchange, endpoint, { status, reason: answer.statusMessage ?? "", headers: withoutFraming(answer.rawHeaders) });
        exchange.appFinishedMs = performance.now();
        exchange.response.end();
        finish(undefined);
      }
    });
    attempt.on("response", (answer) => {
      answered = true;
      relay(exchange, endpoint, answer).then(() => finish(undefined), (cause: Error) => {
        attempt.destroy();
        finish({ code: unfitCode(cause), message: cause.message, progress });
      });
    });
    attempt.on("error", (error: NodeJS.ErrnoException) => {
      if (answered) return;
      const code = stopped ?? (error.code === "ECONNRESET" && error.message === "socket hang up" ? "EOF" : error.code?.startsWith("HPE_") === true ? "BAD_RESPONSE" : error.code ?? "");
      finish({ code, message: error.message, progress });
    });
    attempt.end();
  });
}

/** The head of an answer that opens a tunnel; `upgrade`: what is spoken from here on. */
export interface OpeningHead extends AnswerHead { readonly upgrade: string | undefined }

/** Answers the client, and joins the two connections until both are gone. Rejects, before a word to the client, where no answer can be made of the head. */
export async function openTunnel(exchange: Exchange, endpoint: Endpoint, answer: OpeningHead, backend: { socket: Duplex; head: Buffer }): Promise<void> {
  const upgrade = exchange.upgrade as Upgrade;
  const { status } = answer;
  exchange.appHeadersMs = performance.now();
  const headers = clientHead(exchange, endpoint, { status, reason: "", headers: withoutFraming(answer.headers) }, false);
  const client = { socket: upgrade.socket, head: upgrade.release() };
  exchange.upgraded = true;
  exchange.status = status;
  if (upgrade.accept !== undefined) upgrade.accept(status, headers);
  else {
    if (status === 101) headers.push("Connection", "Upgrade", "Upgrade", answer.upgrade ?? exchange.received("upgrade") ?? "websocket");
    let head = `HTTP/1.1 ${status} ${answer.reason || reasonOf(status)}\r\n`;
    for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
    exchange.response.detachSocket(client.socket as never);
    client.socket.write(`${head}\r\n`, "latin1");
  }
  const joined = join(client, backend, {
    halfOpenMs: exchange.context.settings.clientStallMs, webSocket: exchange.request.headers.upgrade?.toLowerCase() === "websocket",
    count: (from, bytes) => { exchange[from === "client" ? "bytesIn" : "bytesOut"] += bytes; },
  });
  exchange.context.tunnels.add(client.socket);
  rememberTunnel(client.socket, joined);
  await joined.over;
  exchange.context.tunnels.delete(client.socket);
  exchange.appFinishedMs = performance.now();
  exchange.markClosed();
}

export const isWebSocket = (exchange: Exchange): boolean => exchange.method !== "CONNECT" && exchange.received("upgrade")?.toLowerCase() === "websocket";

/** A tunnel has no body, whatever its head says of one (RFC 9110, 9.3.6). */
function withoutFraming(headers: readonly string[]): string[] {
  return headers.filter((_, at) => !/^(content-length|transfer-encoding)$/i.test(headers[at - (at % 2)] as string));
}
