import { randomUUID } from "node:crypto";
import { access, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, type Fetch, type Logger, silentLogger, systemClock } from "../ports.ts";
import { defaultFetch, download } from "./download.ts";
import { cacheKey, checkDigests, digestFile, type DropletSource, sourceName } from "./source.ts";
import { unpack, type Unpacked } from "./unpack.ts";

export interface DropletStoreOptions {
  /** Folder of the cache; may be shared by executors on one machine. */
  dir: string;
  /** Space the cache may take; the least recently used droplets leave first. Default 4 GiB. */
  cacheBytes?: number;
  /** Largest droplet downloaded. Default 2 GiB. */
  maxDropletBytes?: number;
  /** Silence after which a download attempt is given up. Default 30 000 ms. */
  inactivityTimeoutMs?: number;
  /** Download attempts for failures that may pass. Default 3. */
  attempts?: number;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

export interface DropletStore extends AsyncDisposable {
  /** Unpacks a droplet into `folder`. Throws DEA_DROPLET_UNAVAILABLE, _MISMATCH, _UNSAFE, _TOO_LARGE. */
  unpackTo(source: DropletSource, folder: string, options: { maxBytes: number; signal: AbortSignal }): Promise<Unpacked>;
  /** Deletes what exceeds the cache's space and is not in use. Runs by itself after each download. */
  reap(): Promise<void>;
}

/** Fetches each droplet once, verifies it, keeps it while there is room. */
export async function openDropletStore(options: DropletStoreOptions): Promise<DropletStore> {
  const { dir, cacheBytes = 4 * 1024 ** 3, maxDropletBytes = 2 * 1024 ** 3, inactivityTimeoutMs = 30_000, attempts = 3 } = options;
  const { clock = systemClock, log = silentLogger } = options;
  const own = options.fetch ? undefined : defaultFetch(inactivityTimeoutMs);
  const fetch = options.fetch ?? own ?? globalThis.fetch;
  const closed = new AbortController();
  const inUse = new Map<string, number>();
  const running = new Map<string, Promise<string>>();
  // A cached file is hashed once per life of the executor and whenever its size or time changed.
  const verified = new Map<string, string>();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const name of await readdir(dir)) if (name.startsWith("part-")) await removeStale(join(dir, name), clock);

  const identity = async (path: string): Promise<string> => {
    const { size, mtimeMs } = await stat(path);
    return `${size}/${mtimeMs}`;
  };

  const cached = async (source: DropletSource, path: string): Promise<boolean> => {
    try {
      if (verified.get(path) !== (await identity(path))) checkDigests(source, await digestFile(path, closed.signal));
    } catch (error) {
      if (error instanceof DeaError) {
        log.warn("droplet.cache.damaged", { file: path });
        await rm(path, { force: true });
      }
      return false;
    }
    const now = clock.now() / 1000;
    await utimes(path, now, now).catch(() => {});
    verified.set(path, await identity(path).catch(() => ""));
    return true;
  };

  const fetchTo = async (source: DropletSource, path: string): Promise<string> => {
    if (await cached(source, path)) return path;
    const part = join(dir, `part-${randomUUID()}`);
    try {
      const startedAt = clock.now();
      const digests = await download(source, part, { fetch, clock, signal: closed.signal, maxBytes: maxDropletBytes, inactivityTimeoutMs, attempts });
      checkDigests(source, digests);
      await rename(part, path);
      verified.set(path, await identity(path));
      log.info("droplet.downloaded", { from: sourceName(source), bytes: digests.bytes, ms: clock.now() - startedAt });
      return path;
    } finally {
      await rm(part, { force: true });
    }
  };

  /** One download at a time per digest; who comes later waits for the same result, and may leave without stopping it. */
  const fetchOnce = (source: DropletSource, key: string): Promise<string> => {
    const path = join(dir, `${key}.tgz`);
    let job = running.get(key);
    if (!job) {
      job = fetchTo(source, path).finally(() => running.delete(key));
      running.set(key, job);
      job.catch(() => {});
    }
    return job;
  };

  const reap = async (): Promise<void> => {
    const files = [];
    for (const name of await readdir(dir)) {
      if (name.startsWith("part-") || inUse.has(name) || running.has(name.replace(/\.tgz$/, ""))) continue;
      const found = await stat(join(dir, name)).catch(() => undefined);
      if (found?.isFile()) files.push({ path: join(dir, name), bytes: found.size, usedAt: found.mtimeMs });
    }
    files.sort((a, b) => b.usedAt - a.usedAt);
    let total = 0;
    for (const { path, bytes } of files) {
      total += bytes;
      if (total <= cacheBytes) continue;
      await rm(path, { force: true });
      verified.delete(path);
      log.info("droplet.cache.removed", { file: path, bytes });
    }
  };

  return {
    async unpackTo(source, folder, { maxBytes, signal }) {
      signal.throwIfAborted();
      if (source.path !== undefined) {
        await access(source.path).catch((error: unknown) => {
          throw new DeaError("DEA_DROPLET_UNAVAILABLE", `cannot read ${source.path}: ${textOf(error)}`, { cause: error });
        });
        if (cacheKey(source)) checkDigests(source, await digestFile(source.path, signal));
        return await unpack(source.path, folder, { maxBytes, signal });
      }
      // Without a digest nothing can be shared: the file is used once.
      const key = cacheKey(source) ?? `once-${randomUUID()}`;
      const name = `${key}.tgz`;
      inUse.set(name, (inUse.get(name) ?? 0) + 1);
      try {
        return await unpack(await withSignal(fetchOnce(source, key), signal), folder, { maxBytes, signal });
      } finally {
        const users = (inUse.get(name) ?? 1) - 1;
        if (users > 0) inUse.set(name, users);
        else inUse.delete(name);
        if (key.startsWith("once-")) await rm(join(dir, name), { force: true });
        await reap().catch((error: unknown) => log.warn("droplet.cache.reap", { error: textOf(error) }));
      }
    },
    reap,
    async [Symbol.asyncDispose]() {
      closed.abort(new DeaError("DEA_CLOSED", "the executor was closed"));
      await Promise.allSettled(running.values());
      await own?.[Symbol.asyncDispose]();
    },
  };
}

/** Parts of a download nobody works on any more. Another executor may share the folder, so only the old ones go. */
async function removeStale(path: string, clock: Clock): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found && clock.now() - found.mtimeMs > 3_600_000) await rm(path, { force: true });
}

function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
