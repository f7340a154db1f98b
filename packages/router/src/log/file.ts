import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { Logger } from "../ports.ts";
import type { LogTarget } from "./target.ts";
import { createWriter } from "./writer.ts";

export interface FileTargetOptions {
  /** Bytes kept while the file does not take them; beyond that lines are dropped and counted. Default 1 048 576. */
  maxBacklog?: number;
  /** Is told when lines are dropped. Default nobody. */
  log?: Logger;
}

// Of a pipe nobody reads we want to hear, not to hang on it.
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Before a pipe that was full is tried again. */
const fullPauseMs = 20;

/** Appends to a file (made with mode 0640) or a named pipe; `reopen` lets go of it at once, so that it can be rotated. */
export function logToFile(path: string, { maxBacklog, log }: FileTargetOptions = {}): LogTarget {
  let opening: Promise<FileHandle> | undefined;
  let closed = false;
  let sending = false;
  let rotated = false;

  async function letGo(): Promise<void> {
    const held = opening;
    opening = undefined;
    await (await held?.catch(() => undefined))?.close().catch(() => undefined);
  }

  return createWriter({
    name: path,
    ...(maxBacklog === undefined ? {} : { maxBacklog }),
    ...(log === undefined ? {} : { log }),
    async send(lines) {
      sending = true;
      try {
        await writeAll(await (opening ??= open(path, flags, 0o640)), lines, () => closed);
      } catch (cause) {
        await letGo();
        throw cause;
      } finally {
        sending = false;
        if (rotated) await letGo();
        rotated = false;
      }
    },
    // A batch under way still goes to the old file, whole.
    reopen: () => {
      if (sending) rotated = true;
      else void letGo();
    },
    close: () => { closed = true; return letGo(); },
  });
}

async function writeAll(handle: FileHandle, bytes: Buffer, given: () => boolean): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    try {
      at += (await handle.write(bytes, at)).bytesWritten;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EAGAIN" || given()) throw cause;
      await new Promise((resolve) => setTimeout(resolve, fullPauseMs));
    }
  }
}
