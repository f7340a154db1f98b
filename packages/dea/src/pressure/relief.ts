import { textOf } from "../errors.ts";
import type { ManagedInstance } from "../instance/instance.ts";
import { type Clock, elapsed, type Logger } from "../ports.ts";
import { chooseToMove, type HostUse, type Movable, type Resource, shortOf, type Watermarks } from "./choose.ts";
import { measureHost } from "./measure-host.ts";

export interface PressureOptions {
  /** Used share of the machine's memory above which an instance is moved away. Default 0.9. */
  memoryRatio?: number;
  /** Used share of the disk under `dataDir`, in bytes or inodes. Default 0.9. */
  diskRatio?: number;
  /** How far below the mark it must fall before nobody more is moved. Default 0.05. */
  hysteresis?: number;
  /** Time between two looks. Default 10 000 ms. */
  intervalMs?: number;
  /** Time an instance that shall go may still run, for its replacement to come up elsewhere. Default 120 000 ms. */
  moveTimeoutMs?: number;
  /** Default: `/proc/meminfo` and the file system of `dataDir`. */
  measure?: (dir: string) => Promise<HostUse>;
}

export interface Relief {
  /** What is short now: nothing is started here meanwhile. */
  readonly short: ReadonlySet<Resource>;
  /** One look, and what follows from it. */
  look(): Promise<void>;
}

export interface ReliefParts {
  options: PressureOptions;
  dir: string;
  /** Those that may be moved. */
  apps(): Iterable<ManagedInstance>;
  clock: Clock;
  log: Logger;
}

export const watermarksOf = ({ memoryRatio = 0.9, diskRatio = 0.9, hysteresis = 0.05 }: PressureOptions): Watermarks => ({
  memory: { high: memoryRatio, low: memoryRatio - hysteresis },
  disk: { high: diskRatio, low: diskRatio - hysteresis },
});

/**
 * Moves instances away before the host fails: the heaviest of those with the lowest priority, one at a time. It becomes
 * EVACUATING, which heartbeats tell at once; the health manager starts it elsewhere and stops it here. If nobody does,
 * it is stopped when its time is over.
 */
export function createRelief({ options, dir, apps, clock, log }: ReliefParts): Relief {
  const { measure = measureHost, moveTimeoutMs = 120_000 } = options;
  const marks = watermarksOf(options);
  let short = new Set<Resource>();
  let going: { instance: ManagedInstance; until: number } | undefined;

  const movables = async (): Promise<Map<Movable, ManagedInstance>> => {
    const found = new Map<Movable, ManagedInstance>();
    for (const instance of apps()) {
      if (instance.state !== "RUNNING") continue;
      const use = await instance.stats().catch(() => undefined);
      if (use) found.set({ id: instance.id, priority: instance.spec.priority, memoryBytes: use.memoryBytes, diskBytes: use.diskBytes }, instance);
    }
    return found;
  };

  return {
    get short() { return short; },
    async look() {
      const use = await measure(dir).catch((error: unknown) => {
        log.warn("pressure.measure", { error: textOf(error) });
        return undefined;
      });
      if (!use) return;
      const now = shortOf(use, short, marks);
      if ([...now].join() !== [...short].join()) log.warn(now.size > 0 ? "pressure.short" : "pressure.over", { ...use, short: [...now] });
      short = now;
      if (going?.instance.present) {
        // Whoever goes makes room: only then it is known whether another one must.
        if (elapsed(clock) >= going.until) void going.instance.stop();
        return;
      }
      going = undefined;
      const [first] = short;
      if (!first) return;
      const candidates = await movables();
      const chosen = chooseToMove(first, [...candidates.keys()]);
      const instance = chosen && candidates.get(chosen);
      if (!instance) return;
      log.warn("pressure.move", { instance: instance.id, app: instance.spec.appId, short: first, memoryBytes: chosen.memoryBytes, diskBytes: chosen.diskBytes });
      going = { instance, until: elapsed(clock) + moveTimeoutMs };
      instance.evacuate();
    },
  };
}
