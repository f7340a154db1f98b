import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { textOf } from "../errors.ts";
import { type Logger, silentLogger } from "../ports.ts";
import { createAppendFile } from "./append-file.ts";
import { createCipher } from "./cipher.ts";
import { encodeEntry, encodeHeader } from "./line.ts";
import { readOldSnapshot, removeOldSnapshot } from "./old-snapshot.ts";
import { readJournal } from "./read-journal.ts";
import type { InstanceRecord } from "./record.ts";

export interface JournalOptions {
  /** The executor's folder. */
  dir: string;
  /** The executor's id. */
  id: string;
  /** Encrypts every entry; at least 16 bytes. Without it entries are plain, and carry no secrets. */
  key?: string | Uint8Array | undefined;
  /** Size from which the file is rewritten, once it is four times what is true now. Default 256 KiB. */
  compactFromBytes?: number;
  log?: Logger;
}

export interface Journal extends AsyncDisposable {
  /** What stood there, in the order in which it was first written. */
  readonly found: readonly InstanceRecord[];
  /** Whether entries are encrypted, so that secrets may be written. */
  readonly encrypted: boolean;
  /** True while the file lacks something because it could not be written. The next write that works makes up for it. */
  readonly behind: boolean;
  /** Size of the file. */
  readonly bytes: number;
  /** What is true of an instance from now on. Settles when the file has it; calls that overlap share a write. Rejects as the file system does. */
  put(record: InstanceRecord): Promise<void>;
  /** Nothing more needs to be known of it. */
  drop(id: string): Promise<void>;
  /** Rewrites the file with what is true now. */
  compact(): Promise<void>;
}

export const journalPath = (dir: string): string => join(dir, "journal.jsonl");

/** The file may be so many times larger than what is true. */
const slack = 4;

/**
 * An append-only file that tells at every moment what the next executor needs to know: each step of an instance is
 * written before it takes effect. Takes over the snapshot of an older executor. Throws DEA_JOURNAL, DEA_INVALID_SPEC.
 */
export async function openJournal({ dir, id, key, compactFromBytes = 256 * 1024, log = silentLogger }: JournalOptions): Promise<Journal> {
  const path = journalPath(dir);
  const cipher = key === undefined ? undefined : await createCipher(key, id);
  await rm(`${path}.part`, { force: true });
  const read = await readJournal(path, cipher, log);
  if (read && read.damaged > 0) await keepDamaged(path, log);
  const found = read ? [...read.records.values()] : await readOldSnapshot(dir, log);
  /** What is true, by id: each as the line that says it. */
  const live = new Map(found.map((record) => [record.id, encodeEntry({ put: record }, cipher)]));
  const header = encodeHeader(id, cipher !== undefined);
  const file = createAppendFile(path);
  let behind = false;
  let closed = false;
  let smallest = 0;
  let batch: { text: string; done: Promise<void> } | undefined;
  let tail: Promise<void> = Promise.resolve();

  const rewrite = async (): Promise<void> => {
    await file.replace(header + [...live.values()].join(""));
    if (behind) log.info("journal.caught-up", { file: path });
    behind = false;
    smallest = file.bytes;
  };

  const commit = async (text: string): Promise<void> => {
    if (closed) return;
    try {
      // What a failed write left out is in `live`.
      if (behind) return await rewrite();
      await file.append(text);
    } catch (error) {
      behind = true;
      throw error;
    }
    if (file.bytes < compactFromBytes || file.bytes < slack * smallest) return;
    await rewrite().catch((error: unknown) => log.warn("journal.compact", { file: path, error: textOf(error) }));
  };

  /** One write at a time; what comes meanwhile goes together in the next. */
  const write = (text: string): Promise<void> => {
    if (!batch) {
      const mine = { text: "", done: Promise.resolve() };
      mine.done = tail.then(() => {
        batch = undefined;
        return commit(mine.text);
      });
      tail = mine.done.catch(() => {});
      batch = mine;
    }
    batch.text += text;
    return batch.done;
  };

  const compact = (): Promise<void> => {
    const done = tail.then(rewrite);
    tail = done.catch(() => {});
    return done;
  };

  try {
    await compact();
    await removeOldSnapshot(dir);
  } catch (error) {
    // A full disk is no reason not to look after what runs.
    behind = true;
    log.error("journal.behind", { file: path, error: textOf(error) });
  }

  return {
    found,
    encrypted: cipher !== undefined,
    get behind() { return behind; },
    get bytes() { return file.bytes; },
    put(record) {
      const line = encodeEntry({ put: record }, cipher);
      live.set(record.id, line);
      return write(line);
    },
    async drop(gone) {
      if (live.delete(gone)) await write(encodeEntry({ drop: gone }, cipher));
    },
    compact,
    async [Symbol.asyncDispose]() {
      await tail;
      closed = true;
      await file.close();
    },
  };
}

/** For whoever wants to know what was lost. The last one only. */
async function keepDamaged(path: string, log: Logger): Promise<void> {
  await copyFile(path, `${path}.damaged`).catch((error: unknown) => log.warn("journal.damaged", { file: path, error: textOf(error) }));
}
