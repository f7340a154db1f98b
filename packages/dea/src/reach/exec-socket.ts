import type { RawData, WebSocket } from "ws";
import type { ExecProcess } from "../container/container.ts";
import { DeaError, textOf } from "../errors.ts";
import type { ExecOptions } from "../instance/exec.ts";
import type { Instance } from "../instance/instance.ts";
import { channels, parseControl } from "./exec-protocol.ts";

/** What a client has not read yet may be this much; then the command's output waits. */
const maxBufferedBytes = 1024 ** 2;
/** Output may follow an exit for as long: somebody whom the command left behind may hold it. */
const drainMs = 2_000;

/** Runs a command and lets a WebSocket speak with it, until it has ended and all is said. Never rejects. */
export async function execOverSocket(socket: WebSocket, instance: Instance, options: ExecOptions, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  socket.on("close", () => gone.abort());
  socket.on("error", () => gone.abort());
  const early: [RawData, boolean][] = [];
  const keep = (data: RawData, isBinary: boolean): void => {
    if (early.push([data, isBinary]) >= 64) socket.pause();
  };
  // What comes before the command runs is for the command.
  socket.on("message", keep);
  let process: ExecProcess;
  try {
    process = await instance.exec({ ...options, signal: AbortSignal.any([signal, gone.signal]) });
  } catch (error) {
    const code = error instanceof DeaError ? error.code : "DEA_CONTAINER";
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ error: { code, message: textOf(error) } }));
    socket.close(1011, code);
    return;
  }
  const hear = (data: RawData, isBinary: boolean): void => {
    if (isBinary) return input(socket, process, data as Buffer);
    const control = parseControl((data as Buffer).toString());
    if (!control) return;
    if ("eof" in control) process.stdin.end();
    else if ("signal" in control) void process.signal(control.signal).catch(() => {});
    else void process.resize(control.resize).catch(() => {});
  };
  socket.off("message", keep);
  socket.on("message", hear);
  for (const [data, isBinary] of early) hear(data, isBinary);
  if (socket.isPaused) socket.resume();

  const outputs = [pass(socket, process, "stdout", channels.output), pass(socket, process, "stderr", channels.error)];
  const status = await process.exited;
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([Promise.all(outputs), new Promise((resolve) => (timer = setTimeout(resolve, drainMs)))]);
  clearTimeout(timer);
  for (const stream of [process.stdout, process.stderr]) stream.destroy();
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ exit: status }));
  socket.close(1000);
}

function input(socket: WebSocket, { stdin }: ExecProcess, data: Buffer): void {
  if (data[0] !== channels.input || stdin.writableEnded || stdin.destroyed) return;
  if (stdin.write(data.subarray(1)) || socket.isPaused) return;
  socket.pause();
  const go = (): void => {
    stdin.off("drain", go);
    stdin.off("close", go);
    socket.resume();
  };
  stdin.once("drain", go);
  stdin.once("close", go);
}

/** Passes one stream on, as fast as the client reads. */
function pass(socket: WebSocket, process: ExecProcess, name: "stdout" | "stderr", channel: number): Promise<void> {
  const stream = process[name];
  return new Promise((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      if (socket.readyState !== socket.OPEN) return;
      const isFull = socket.bufferedAmount > maxBufferedBytes;
      if (isFull) stream.pause();
      socket.send(Buffer.concat([Buffer.of(channel), chunk]), { binary: true }, () => {
        if (stream.isPaused() && socket.bufferedAmount <= maxBufferedBytes) stream.resume();
      });
    });
    stream.once("error", () => resolve());
    stream.once("close", () => resolve());
    stream.once("end", () => resolve());
    if (stream.destroyed || stream.readableEnded) resolve();
  });
}
