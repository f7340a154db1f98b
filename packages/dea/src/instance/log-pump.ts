import type { Readable } from "node:stream";
import type { LogLimit } from "./log-limit.ts";
import { createLineSplitter } from "./log-lines.ts";

/** Longest line kept whole. Cloud Foundry cuts at about 60 KiB too: an envelope must fit into a datagram-sized message. */
export const defaultMaxLineBytes = 60 * 1024;

/** Of what is dropped so much is kept of each output, and given out when nothing follows: an app's last words tell why it ended. */
const lastWordsBytes = 16 * 1024;
const maxLastLines = 50;

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
      let dropped: Buffer | undefined;
      source.on("data", (chunk: Buffer) => {
        if (limit?.open() ?? true) {
          dropped = undefined;
          return lines.push(chunk);
        }
        limit?.dropped(lines.skip(chunk));
        dropped = (dropped === undefined || chunk.length >= lastWordsBytes ? chunk : Buffer.concat([dropped, chunk])).subarray(-lastWordsBytes);
      });
      source.once("error", () => {});
      source.once("close", () => {
        const last = dropped === undefined ? [] : wholeLines(dropped);
        limit?.dropped(-last.length);
        if (last.length > 0) limit?.end();
        for (const line of last) if (line !== "") emit(name, line);
        lines.end();
        resolve();
      });
      if (source.destroyed) resolve();
    });
  await Promise.all([pump("stdout"), pump("stderr")]);
  limit?.end();
}

/** The last lines that begin and end in these bytes, without what stands before the first newline. */
const wholeLines = (bytes: Buffer): string[] => bytes.toString("utf8", bytes.indexOf(10) + 1, bytes.lastIndexOf(10) + 1).split(/\r?\n/).slice(0, -1).slice(-maxLastLines);
