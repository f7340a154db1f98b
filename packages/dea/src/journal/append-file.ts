import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** A file that is only written at its end, or replaced as a whole. Calls must not overlap. */
export interface AppendFile {
  /** Size in bytes. */
  readonly bytes: number;
  append(text: string): Promise<void>;
  /** Writes beside, flushes to the disk, renames: whoever reads meets the old or the new, never half of one. */
  replace(text: string): Promise<void>;
  close(): Promise<void>;
}

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;

/**
 * A file for its owner alone (0600), opened when it is first written. Appends are not flushed to the disk: they outlive this process, which is
 * what a journal of processes is for; what a machine that loses power loses of them, it loses with the processes.
 */
export function createAppendFile(path: string): AppendFile {
  let file: FileHandle | undefined;
  let bytes = 0;
  /** What stands there may end in the middle of a line: the next one begins a line of its own. */
  let torn = true;

  const reopen = async (): Promise<FileHandle> => {
    const opened = await open(path, flags, 0o600);
    await opened.chmod(0o600);
    bytes = (await opened.stat()).size;
    return opened;
  };

  return {
    get bytes() { return bytes; },
    async append(text) {
      file ??= await reopen();
      const data = Buffer.from(torn ? `\n${text}` : text);
      try {
        for (let at = 0; at < data.length; ) {
          const { bytesWritten } = await file.write(data, at);
          at += bytesWritten;
          bytes += bytesWritten;
        }
        torn = false;
      } catch (error) {
        torn = true;
        throw error;
      }
    },
    async replace(text) {
      const part = `${path}.part`;
      const fresh = await open(part, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
      try {
        await fresh.writeFile(text);
        await fresh.sync();
      } catch (error) {
        await rm(part, { force: true }).catch(() => {});
        throw error;
      } finally {
        await fresh.close();
      }
      await rename(part, path);
      await syncFolder(dirname(path));
      await file?.close().catch(() => {});
      file = undefined;
      file = await reopen();
      torn = false;
    },
    async close() {
      const last = file;
      file = undefined;
      await last?.close();
    },
  };
}

/** A rename is on the disk only when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } catch {
    // Some file systems cannot; then they need not.
  } finally {
    await folder.close();
  }
}
