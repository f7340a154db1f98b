import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { access, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { diskRatio } from "../disk-pressure.ts";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, type Fetch, type Logger, silentLogger, systemClock } from "../ports.ts";
import { defaultFetch, download } from "./download.ts";
import { type CachedDroplet, type EvictionReason, evictions, underPressure } from "./eviction.ts";
import { createLayers, type Layer } from "./layers.ts";
import { isPart, openPartFiles } from "./part-files.ts";
import { createSharedWork } from "./shared-work.ts";
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
  /** Unpacks it once for all who share it. Only of droplets whose digest is known beforehand. Throws as `unpack` does. */
  layer?(options: { maxBytes: number; signal: AbortSignal }): Promise<Layer>;
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
  const running = createSharedWork<string>();
  const layers = createLayers({ dir: join(dir, "layers"), bytes: cacheBytes, clock, log });
  /** From where a droplet was fetched last, for who joined in that. */
  const origins = new Map<string, string | undefined>();
  // A cached file is hashed once per life of the executor and whenever its size or time changed.
  const verified = new Map<string, string>();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const parts = await openPartFiles(dir, clock.now());

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

  const fetchTo = async (source: DropletSource, path: string, signal: AbortSignal): Promise<string> => {
    if (await cached(source, path)) return path;
    const part = join(dir, parts.next());
    try {
      const startedAt = clock.now();
      const digests = await download(source, part, { fetch, clock, signal, maxBytes: maxDropletBytes, inactivityTimeoutMs, attempts });
      checkDigests(source, digests);
      await rename(part, path);
      verified.set(path, await identity(path));
      log.info("droplet.downloaded", { from: sourceName(source), bytes: digests.bytes, ms: clock.now() - startedAt });
      return path;
    } finally {
      await rm(part, { force: true });
    }
  };

  /** One download at a time per digest. When another's fails, its address may have been the reason: then ours is tried. */
  const fetchShared = async (source: DropletSource, key: string, signal: AbortSignal): Promise<string> => {
    const path = join(dir, `${key}.tgz`);
    let own = false;
    const begin = (job: AbortSignal): Promise<string> => {
      own = true;
      origins.set(key, source.url);
      return fetchTo(source, path, AbortSignal.any([job, closed.signal]));
    };
    try {
      return await running.join(key, begin, signal);
    } catch (error) {
      if (own || signal.aborted || closed.signal.aborted || origins.get(key) === source.url) throw error;
      return await running.join(key, begin, signal);
    }
  };

  const reap = async (): Promise<void> => {
    await layers.reap((key) => inUse.has(`${key}.tgz`) || existsSync(join(dir, `${key}.tgz`)));
    const cached: CachedDroplet[] = [];
    for (const name of await readdir(dir)) {
      if (isPart(name) || inUse.has(name) || running.has(name.replace(/\.tgz$/, ""))) continue;
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
    const key = cacheKey(source);
    if (key === undefined) return { path, [Symbol.asyncDispose]: () => Promise.resolve() };
    checkDigests(source, await digestFile(path, signal));
    return { path, layer: (options) => layers.open(key, path, options), [Symbol.asyncDispose]: () => Promise.resolve() };
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
      else {
        inUse.delete(name);
        origins.delete(key);
      }
      if (key.startsWith("once-")) await rm(join(dir, name), { force: true });
      await reap().catch((error: unknown) => log.warn("droplet.cache.reap", { error: textOf(error) }));
    };
    try {
      const path = await fetchShared(source, key, signal);
      return { path, ...(key.startsWith("once-") ? {} : { layer: (options) => layers.open(key, path, options) }), [Symbol.asyncDispose]: letGo };
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
      await running.idle();
      parts[Symbol.dispose]();
      await own?.[Symbol.asyncDispose]();
    },
  };
}
