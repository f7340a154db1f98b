import { open } from "node:fs/promises";
import { DeaError, textOf } from "../errors.ts";
import { pathIn } from "./tree-writer.ts";
import { unpackInThread, type UnpackOutcome } from "./unpack-thread.ts";

export interface UnpackOptions {
  /** Most entries an archive may have. Default 200 000. */
  maxEntries?: number;
  /** Most bytes it may unpack to. Default 4 GiB. */
  maxBytes?: number;
  signal?: AbortSignal;
}

export interface Unpacked {
  entries: number;
  bytes: number;
}

/** `./a//b/` to `a/b`; the root itself to "". Throws DEA_DROPLET_UNSAFE for names that lead out. */
export function entryPath(name: string): string {
  const path = pathIn(name);
  if (typeof path === "string") return path;
  throw new DeaError("DEA_DROPLET_UNSAFE", `${JSON.stringify(name.slice(0, 200))}: ${path.why}`);
}

const codes = { unsafe: "DEA_DROPLET_UNSAFE", large: "DEA_DROPLET_TOO_LARGE", unreadable: "DEA_DROPLET_UNAVAILABLE" } as const;

/**
 * Unpacks a tar, gzipped or not, into an empty folder that nobody else writes to, in a thread of its own.
 *
 * Nothing is ever written through a link: what stands at each path is remembered, and only real folders made
 * here are entered. Symlinks are kept as they are, wherever they point: they matter when the app reads them,
 * with the app's rights. Set-user-id bits are dropped. Devices, pipes and sockets are refused.
 * Throws DEA_DROPLET_UNSAFE, DEA_DROPLET_TOO_LARGE, DEA_DROPLET_UNAVAILABLE (cannot be read).
 */
export async function unpack(archive: string, folder: string, options: UnpackOptions = {}): Promise<Unpacked> {
  const { maxEntries = 200_000, maxBytes = 4 * 1024 ** 3, signal } = options;
  let outcome: UnpackOutcome;
  try {
    outcome = await unpackInThread({ archive, folder, gzip: await isGzip(archive), maxEntries, maxBytes }, signal);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new DeaError("DEA_DROPLET_UNAVAILABLE", `cannot unpack the droplet: ${textOf(error)}`, { cause: error });
  }
  const { kind } = outcome;
  if (kind === "done") return { entries: outcome.entries, bytes: outcome.bytes };
  throw new DeaError(codes[kind], kind === "unreadable" ? `cannot unpack the droplet: ${outcome.text}` : outcome.text);
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}
