import type { Readable } from "node:stream";
import type { LogLimit } from "./log-limit.ts";
import { createLineSplitter } from "./log-lines.ts";

/** Longest line kept whole. Cloud Foundry cuts at about 60 KiB too: an envelope must fit into a datagram-sized message. */
export const defaultMaxLineBytes = 60 * 1024;

/**
 * Reads both outputs of a process as fast as they come, so that the app never waits for a reader of ours.
 * Resolves when both have ended.
 */
export async function pumpLogs(
  streams: { stdout: Readable; stderr: Readable },
  emit: (stream: "stdout" | "stderr", text: string) => void,
  { maxLineBytes = defaultMaxLineBytes, limit }: { maxLineBytes?: number; limit?: LogLimit } = {},
): Promise<void> {
  const pump = (name: "stdout" | "stderr"): Promise<void> =>
    new Promise((resolve) => {
      const source = streams[name];
      const lines = createLineSplitter(maxLineBytes, (text) => {
        limit?.passed(1);
        emit(name, text);
      });
      source.on("data", (chunk: Buffer) => {
        if (limit?.open() ?? true) lines.push(chunk);
        else limit?.dropped(lines.skip(chunk));
      });
      source.once("error", () => {});
      source.once("close", () => {
        lines.end();
        resolve();
      });
      if (source.destroyed) resolve();
    });
  await Promise.all([pump("stdout"), pump("stderr")]);
  limit?.end();
}
