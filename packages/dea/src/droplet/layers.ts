import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import type { Clock, Logger } from "../ports.ts";
import { createSharedWork } from "./shared-work.ts";
import { unpack, type Unpacked } from "./unpack.ts";

/** A droplet that is unpacked once for all containers of this machine, which share it and never write to it. */
export interface Layer extends Unpacked {
  dir: string;
}

export interface LayersOptions {
  /** Folder of the layers; may be shared by executors on one machine. */
  dir: string;
  /** Space the layers may take; the least recently used leave first. */
  bytes: number;
  clock: Clock;
  log: Logger;
}

export interface Layers {
  /** Unpacks an archive unless that was done before. Throws as `unpack` does. */
  open(key: string, archive: string, options: { maxBytes: number; signal: AbortSignal }): Promise<Layer>;
  /** Deletes what no container stands on and exceeds the space, or whose droplet left the cache. */
  reap(wanted: (key: string) => boolean): Promise<void>;
}

/** What was used a moment ago stays: somebody may be about to stand on it. */
const restMs = 60_000;
const noteSuffix = ".json";

/** Written without being flushed, so after a crash of the machine nothing of it can be trusted. */
const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();

interface Note extends Unpacked {
  boot: string;
}

export function createLayers({ dir, bytes: space, clock, log }: LayersOptions): Layers {
  const running = createSharedWork<Layer>();

  const known = async (key: string): Promise<Note | undefined> => {
    try {
      const note = JSON.parse(await readFile(join(dir, `${key}${noteSuffix}`), "utf8")) as Partial<Note>;
      const { boot, bytes, entries } = note;
      return boot === bootId() && typeof bytes === "number" && typeof entries === "number" && (await stat(join(dir, key))).isDirectory() ? { boot, bytes, entries } : undefined;
    } catch {
      return undefined;
    }
  };
  const checked = ({ bytes, entries }: Note, key: string, maxBytes: number): Layer => {
    if (bytes > maxBytes) throw new DeaError("DEA_DROPLET_TOO_LARGE", `unpacks to more than ${maxBytes} bytes`);
    return { dir: join(dir, key), bytes, entries };
  };
  const make = async (key: string, archive: string, maxBytes: number, signal: AbortSignal): Promise<Layer> => {
    const part = join(dir, `part-${randomUUID()}`);
    try {
      await mkdir(part, { recursive: true, mode: 0o755 });
      const unpacked = await unpack(archive, part, { maxBytes, signal });
      const path = join(dir, key);
      const before = await known(key);
      // Another executor was faster.
      if (before) return checked(before, key, maxBytes);
      await rm(path, { recursive: true, force: true });
      await rename(part, path);
      await writeFile(join(dir, `${key}${noteSuffix}`), JSON.stringify({ boot: bootId(), ...unpacked } satisfies Note));
      log.info("droplet.layer", { dir: path, ...unpacked });
      return { dir: path, ...unpacked };
    } finally {
      await rm(part, { recursive: true, force: true });
    }
  };

  return {
    async open(key, archive, { maxBytes, signal }) {
      const note = await known(key);
      const now = clock.now() / 1000;
      if (note) {
        await utimes(join(dir, `${key}${noteSuffix}`), now, now).catch(() => {});
        return checked(note, key, maxBytes);
      }
      // Who may have more must not get the refusal of who may have less.
      return running.join(`${key}/${maxBytes}`, (limit) => make(key, archive, maxBytes, limit), signal);
    },
    async reap(wanted) {
      const names = await readdir(dir).catch((): string[] => []);
      const mounts = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
      const idle: { key: string; bytes: number; usedAt: number }[] = [];
      let total = 0;
      for (const name of names) {
        const path = join(dir, name);
        const found = await stat(path).catch(() => undefined);
        if (!found) continue;
        if (name.startsWith("part-")) {
          if (clock.now() - found.mtimeMs > 3_600_000) await rm(path, { recursive: true, force: true });
          continue;
        }
        if (!found.isDirectory()) continue;
        const note = await stat(join(dir, `${name}${noteSuffix}`)).catch(() => undefined);
        const size = (await known(name))?.bytes ?? 0;
        total += size;
        const usedAt = (note ?? found).mtimeMs;
        if (clock.now() - usedAt > restMs && !mounts.includes(`/${name} `)) idle.push({ key: name, bytes: size, usedAt });
      }
      for (const { key, bytes } of idle.sort((a, b) => a.usedAt - b.usedAt)) {
        if (total <= space && wanted(key)) continue;
        // Without its note it means nothing, whatever becomes of the rest.
        await rm(join(dir, `${key}${noteSuffix}`), { force: true });
        await rm(join(dir, key), { recursive: true, force: true });
        total -= bytes;
        log.info("droplet.layer.removed", { key, bytes });
      }
    },
  };
}
