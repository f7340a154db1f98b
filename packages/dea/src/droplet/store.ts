import { randomUUID } from "node:crypto";
import { access, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { diskRatio } from "../disk-pressure.ts";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, type Fetch, type Logger, silentLogger, systemClock } from "../ports.ts";
import { defaultFetch, download } from "./download.ts";
import { type CachedDroplet, type EvictionReason, evictions, underPressure } from "./eviction.ts";
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
  /** Time after its last use at which a droplet leaves the cache. Default 86 400 000 ms. */
  unusedMs?: number;
  /** Used share of the disk above which droplets that nobody is using leave, the least recently used first. Default 0.8. */
  diskRatio?: number;
  /** Used share of the disk that holds the cache, 0 to 1. For tests and for disks that `statfs` does not describe. */
  measureDisk?: (dir: string) => Promise<number>;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

/** A droplet that is here, verified, and stays until it is disposed of. */
export interface HeldDroplet extends AsyncDisposable {
  readonly path: string;
}

export interface DropletStore extends AsyncDisposable {
  /** Fetches and verifies a droplet, or finds it in the cache. Throws DEA_DROPLET_UNAVAILABLE, _MISMATCH, _TOO_LARGE. */
  hold(source: DropletSource, signal: AbortSignal): Promise<HeldDroplet>;
  /** Unpacks a droplet into `folder`. Throws DEA_DROPLET_UNAVAILABLE, _MISMATCH, _UNSAFE, _TOO_LARGE. */
  unpackTo(source: DropletSource, folder: string, options: { maxBytes: number; signal: AbortSignal }): Promise<Unpacked>;
  /**
   * Deletes of what is not in use: what nobody used for long, what exceeds the cache's space, and what the disk has no
   * room for. Runs by itself after each use; whoever owns the store calls it from time to time.
   */
  reap(): Promise<void>;
}

/** Fetches each droplet once, verifies it, keeps it while there is room. */
export async function openDropletStore(options: DropletStoreOptions): Promise<DropletStore> {
  const { dir, cacheBytes = 4 * 1024 ** 3, maxDropletBytes = 2 * 1024 ** 3, inactivityTimeoutMs = 30_000, attempts = 3 } = options;
  const { unusedMs = 86_400_000, diskRatio: mostUsed = 0.8, measureDisk = diskRatio, clock = systemClock, log = silentLogger } = options;
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
    const cached: CachedDroplet[] = [];
    for (const name of await readdir(dir)) {
      if (name.startsWith("part-") || inUse.has(name) || running.has(name.replace(/\.tgz$/, ""))) continue;
      const found = await stat(join(dir, name)).catch(() => undefined);
      if (found?.isFile()) cached.push({ name, bytes: found.size, usedAt: found.mtimeMs });
    }
    const remove = async (name: string, why: EvictionReason): Promise<void> => {
      // Somebody may have come for it meanwhile.
      if (inUse.has(name)) return;
      const path = join(dir, name);
      await rm(path, { force: true });
      verified.delete(path);
      log.info("droplet.cache.removed", { file: path, why });
    };
    const leaving = evictions(cached, { cacheBytes, unusedMs }, clock.now());
    for (const { name, why } of leaving) await remove(name, why);
    const gone = new Set(leaving.map(({ name }) => name));
    for (const { name } of underPressure(cached.filter((each) => !gone.has(each.name)), clock.now())) {
      if ((await measureDisk(dir)) <= mostUsed) return;
      await remove(name, "pressure");
    }
  };

  const holdFile = async (source: DropletSource, path: string, signal: AbortSignal): Promise<HeldDroplet> => {
    await access(path).catch((error: unknown) => {
      throw new DeaError("DEA_DROPLET_UNAVAILABLE", `cannot read ${path}: ${textOf(error)}`, { cause: error });
    });
    if (cacheKey(source)) checkDigests(source, await digestFile(path, signal));
    return { path, [Symbol.asyncDispose]: () => Promise.resolve() };
  };

  const hold = async (source: DropletSource, signal: AbortSignal): Promise<HeldDroplet> => {
    signal.throwIfAborted();
    if (source.path !== undefined) return await holdFile(source, source.path, signal);
    // Without a digest nothing can be shared: the file is used once.
    const key = cacheKey(source) ?? `once-${randomUUID()}`;
    const name = `${key}.tgz`;
    let held = true;
    inUse.set(name, (inUse.get(name) ?? 0) + 1);
    const letGo = async (): Promise<void> => {
      if (!held) return;
      held = false;
      const users = (inUse.get(name) ?? 1) - 1;
      if (users > 0) inUse.set(name, users);
      else inUse.delete(name);
      if (key.startsWith("once-")) await rm(join(dir, name), { force: true });
      await reap().catch((error: unknown) => log.warn("droplet.cache.reap", { error: textOf(error) }));
    };
    try {
      return { path: await withSignal(fetchOnce(source, key), signal), [Symbol.asyncDispose]: letGo };
    } catch (error) {
      await letGo();
      throw error;
    }
  };

  return {
    hold,
    async unpackTo(source, folder, { maxBytes, signal }) {
      await using held = await hold(source, signal);
      return await unpack(held.path, folder, { maxBytes, signal });
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
