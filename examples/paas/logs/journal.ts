import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { bytesOf, type Stored } from "./envelope.ts";
import { readRecord, tagWriter } from "./record.ts";
import type { Logger } from "./ports.ts";

export interface JournalOptions {
  folder: string;
  /** Files grow to this together before they are replaced by what is in memory. */
  maxBytes: number;
  /** What is in memory: the new beginning after a replacement. */
  snapshot: () => Iterable<[sourceId: string, envelopes: Stored[]]>;
  restore: (sourceId: string, envelope: Stored) => void;
  logger: Logger;
  /** Default 250 ms. */
  flushEveryMs?: number;
}

/**
 * Log lines on disk, so that they are still there after a restart: files of lines that are only ever appended to.
 * A hint, not a promise: the last quarter of a second may be missing after a crash, and a full disk only pauses it.
 *
 *     0000000004.log   a snapshot of memory, written aside and renamed
 *     0000000005.log   what came after it ...
 *
 * When they grow too large, memory (which is bounded, and fair between sources) is written as a new snapshot and the
 * older files go. Lines may then stand in both; rising timestamps tell repetitions apart.
 */
export interface Journal extends AsyncDisposable {
  append(kept: readonly Kept[]): void;
  /** Resolves when all that was appended so far has been handed to the operating system. */
  flush(): Promise<void>;
  /** Envelopes that never reached the disk because it was full or too slow. */
  readonly lost: number;
}

type Kept = readonly [sourceId: string, envelope: Stored];

const maxPendingBytes = 4 * 1024 ** 2;
const flushAtBytes = 256 * 1024;
const retryAfterMs = 30_000;
const fileName = (number: number) => `${String(number).padStart(10, "0")}.log`;

/** Restores what is there, then gives the journal for what comes. */
export async function openJournal({ folder, maxBytes, snapshot, restore, logger, flushEveryMs = 250 }: JournalOptions): Promise<Journal> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const numbers: number[] = [];
  let diskBytes = 0;
  for (const name of (await readdir(folder)).sort()) {
    if (/^\d{10}\.log$/.test(name)) {
      numbers.push(Number.parseInt(name, 10));
      diskBytes += (await stat(join(folder, name))).size;
      await readSegment(join(folder, name), restore).catch((error: Error) => logger.warn("logs.segment-unreadable", { name, cause: error.message }));
    } else if (name.endsWith(".tmp")) await rm(join(folder, name), { force: true });
  }

  let number = numbers.at(-1) ?? 0;
  let segment: { file: FileHandle; write: ReturnType<typeof tagWriter> } | undefined;
  let pending: Kept[] = [];
  let pendingBytes = 0;
  let lost = 0;
  let pausedUntilMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let closed = false;

  async function writePending(): Promise<void> {
    const batch = pending;
    pending = [];
    pendingBytes = 0;
    if (batch.length === 0) return;
    try {
      segment ??= { file: await open(join(folder, fileName((number += 1))), "a", 0o600), write: tagWriter() };
      const { file, write } = segment;
      const text = batch.map(([sourceId, envelope]) => write(sourceId, envelope)).join("");
      await file.appendFile(text);
      diskBytes += Buffer.byteLength(text);
      if (diskBytes > maxBytes) await compact();
    } catch (error) {
      lost += batch.length;
      pausedUntilMs = Date.now() + retryAfterMs;
      logger.warn("logs.journal-paused", { cause: (error as Error).message, lost });
      // The file may end in half a line: what comes later goes to a new one.
      await closeSegment().catch(() => {});
    }
  }

  async function closeSegment(): Promise<void> {
    const old = segment;
    segment = undefined;
    await old?.file.close();
  }

  async function compact(): Promise<void> {
    await closeSegment();
    const name = fileName((number += 1));
    const size = await writeSnapshot(join(folder, `${name}.tmp`), snapshot());
    await rename(join(folder, `${name}.tmp`), join(folder, name));
    for (const older of await readdir(folder)) if (older < name) await rm(join(folder, older), { force: true });
    diskBytes = size;
    logger.info("logs.journal-compacted", { bytes: size });
  }

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    return (working = working.then(writePending));
  };

  return {
    flush,
    append(kept) {
      if (closed || kept.length === 0) return;
      if (pendingBytes > maxPendingBytes || Date.now() < pausedUntilMs) {
        lost += kept.length;
        return;
      }
      for (const one of kept) {
        pending.push(one);
        pendingBytes += one[1].bytes;
      }
      if (pendingBytes > flushAtBytes) void flush();
      else timer ??= setTimeout(() => void flush(), flushEveryMs);
    },
    get lost() {
      return lost;
    },
    async [Symbol.asyncDispose]() {
      if (closed) return working;
      closed = true;
      await flush();
      await closeSegment();
    },
  };
}

async function writeSnapshot(path: string, sources: Iterable<[string, Stored[]]>): Promise<number> {
  const file = await open(path, "w", 0o600);
  const write = tagWriter();
  let size = 0;
  try {
    for (const [sourceId, envelopes] of sources) {
      const text = envelopes.map((envelope) => write(sourceId, envelope)).join("");
      await file.appendFile(text);
      size += Buffer.byteLength(text);
    }
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
  await file.close();
  return size;
}

/** Hands out the lines of a file; lines that cannot be read, such as a torn last one, are passed over. */
async function readSegment(path: string, restore: JournalOptions["restore"]): Promise<void> {
  const read = readRecord();
  let rest = "";
  const stream = createReadStream(path, { encoding: "utf8", highWaterMark: 512 * 1024 });
  for await (const chunk of stream) {
    const lines = (rest + (chunk as string)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const record = read(line);
      if (record) restore(record.sourceId, { ...record.envelope, bytes: bytesOf(record.envelope.instanceId, record.envelope.payload, record.envelope.gauge) });
    }
  }
}
