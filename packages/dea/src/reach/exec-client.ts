import { WebSocket } from "ws";
import type { ExitStatus, TerminalSize } from "../container/container.ts";
import { DeaError, textOf } from "../errors.ts";
import { channels, execProtocol } from "./exec-protocol.ts";

export interface RemoteExecOptions {
  /** A link of `execLink`, or `ws+unix:<socket>:/v1/instances/<instance>/exec?...`. */
  url: string;
  onOutput(stream: "stdout" | "stderr", bytes: Buffer): void;
  /** Aborting leaves; the command is ended then. */
  signal?: AbortSignal;
  /** Default 10 000 ms. */
  connectTimeoutMs?: number;
}

export interface RemoteExec {
  write(bytes: Uint8Array): void;
  /** No more input. */
  end(): void;
  resize(size: TerminalSize): void;
  kill(signal: NodeJS.Signals): void;
  /** True while the other end is slow: input should wait. */
  readonly isFull: boolean;
  /** How the command ended. Rejects: DEA_CONTAINER and what the executor refused it with. */
  readonly exited: Promise<ExitStatus>;
}

/** Runs a command in an instance over a WebSocket and speaks with it. Settles when the connection is open. Throws DEA_CONTAINER. */
export async function runOverSocket({ url, onOutput, signal, connectTimeoutMs = 10_000 }: RemoteExecOptions): Promise<RemoteExec> {
  const socket = new WebSocket(url, execProtocol, { perMessageDeflate: false, handshakeTimeout: connectTimeoutMs });
  const failed = (why: string, cause?: unknown): DeaError => new DeaError("DEA_CONTAINER", why, { cause });
  const exited = new Promise<ExitStatus>((resolve, reject) => {
    socket.on("message", (data, isBinary) => {
      const bytes = data as Buffer;
      if (isBinary) return onOutput(bytes[0] === channels.error ? "stderr" : "stdout", bytes.subarray(1));
      const { exit, error } = JSON.parse(bytes.toString()) as { exit?: ExitStatus; error?: { code: string; message: string } };
      if (exit) resolve(exit);
      if (error) reject(failed(`${error.message} (${error.code})`));
    });
    socket.on("error", (error) => reject(failed(textOf(error), error)));
    socket.on("close", () => reject(failed("the connection ended before the command did")));
  });
  exited.catch(() => {});
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("unexpected-response", (_request, response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text = (text + piece).slice(0, 1_000)));
      response.on("end", () => reject(failed(`refused with ${response.statusCode}: ${text.trim()}`)));
    });
    socket.once("error", (error) => reject(failed(textOf(error), error)));
    signal?.addEventListener("abort", () => socket.terminate(), { once: true });
    if (signal?.aborted) socket.terminate();
  });
  const send = (data: Buffer | string): void => void (socket.readyState === socket.OPEN && socket.send(data));
  return {
    write: (bytes) => send(Buffer.concat([Buffer.of(channels.input), bytes])),
    end: () => send(JSON.stringify({ eof: true })),
    resize: (size) => send(JSON.stringify({ resize: size })),
    kill: (name) => send(JSON.stringify({ signal: name })),
    get isFull() { return socket.bufferedAmount > 1024 ** 2; },
    exited,
  };
}
