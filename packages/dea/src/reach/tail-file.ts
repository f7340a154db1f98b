import type { FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { drained } from "./drained.ts";
import { isStill } from "./open-inside.ts";

export interface TailOptions {
  /** Where to begin. Default: at the end. */
  offset?: number;
  /** Without a new byte for so long the connection is broken off, so that nobody takes it for the end of the file. */
  idleMs: number;
  /** Time between two looks. The original writes what has come at least each 50 ms. */
  lookMs: number;
  clock: Clock;
  signal: AbortSignal;
}

const chunkBytes = 64 * 1024;

/**
 * Streams what is appended to a file until it is deleted or renamed (the answer ends), nothing comes for too long (it is
 * broken off), or the reader goes. A file that was cut is read from its beginning again. Does not close the handles.
 */
export async function tailFile(response: ServerResponse, { handle, parent, name }: { handle: FileHandle; parent: FileHandle; name: string }, options: TailOptions): Promise<void> {
  const { idleMs, lookMs, clock, signal } = options;
  const gone = new AbortController();
  const stop = AbortSignal.any([signal, gone.signal]);
  response.on("close", () => gone.abort());
  let at = options.offset ?? (await handle.stat()).size;
  let lastAt = elapsed(clock);
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff", "cache-control": "no-store" });
  response.flushHeaders();
  const buffer = Buffer.alloc(chunkBytes);
  while (!stop.aborted) {
    const { size } = await handle.stat();
    if (size < at && at > (options.offset ?? 0)) at = 0;
    const { bytesRead } = await handle.read(buffer, 0, chunkBytes, at);
    if (bytesRead > 0) {
      at += bytesRead;
      lastAt = elapsed(clock);
      // Written away before the next read: a slow reader holds one piece, and the app is not waited for.
      if (!response.write(Buffer.from(buffer.subarray(0, bytesRead)))) await drained(response, stop);
      continue;
    }
    if (!(await isStill(parent, name, handle))) {
      response.end();
      return;
    }
    if (elapsed(clock) - lastAt >= idleMs) break;
    await sleep(clock, lookMs, stop);
  }
  response.destroy();
}
