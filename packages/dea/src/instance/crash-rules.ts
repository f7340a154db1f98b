/** A crashed instance, as the rules see it. */
export interface Crash {
  id: string;
  /** App, version, process type and index: the place it had. */
  seat: string;
  app: string;
  /** When it crashed, in milliseconds. */
  at: number;
  /** Files of it are kept. */
  files: boolean;
}

export interface CrashRules {
  /** How long a crash is remembered. Default 3 600 000 ms (dea_ng `crash_lifetime_secs`). */
  lifetimeMs: number;
  /** Crashes whose files are kept, per app, the newest first. Default 1 (dea_ng). */
  filesPerApp: number;
  /** Crashes remembered in all. Default 1 000. */
  max: number;
  /** Share of the disk, in bytes or inodes, above which kept files go, the oldest first. Default 0.8 (dea_ng `crash_block_usage_ratio_threshold`, `crash_inode_…`). */
  diskRatio: number;
}

export const crashDefaults: CrashRules = { lifetimeMs: 3_600_000, filesPerApp: 1, max: 1_000, diskRatio: 0.8 };

/** What is to go now, and why; `files` leaves the crash in the list. */
export interface Reaping {
  forget: { id: string; why: "age" | "newer" | "number" }[];
  files: { id: string; why: "number" }[];
}

/**
 * Which crashes are over: those older than their lifetime; all but the newest of a place (a heartbeat tells one crash
 * per place, and the health manager needs it); what exceeds the number. Files stay of the newest per app only.
 */
export function reapCrashes(crashes: readonly Crash[], { lifetimeMs, filesPerApp, max }: CrashRules, nowMs: number): Reaping {
  const reaping: Reaping = { forget: [], files: [] };
  const seats = new Set<string>();
  const perApp = new Map<string, number>();
  let kept = 0;
  for (const { id, seat, app, at, files } of newestFirst(crashes)) {
    const why = nowMs - at > lifetimeMs ? "age" : seats.has(seat) ? "newer" : kept >= max ? "number" : undefined;
    seats.add(seat);
    if (why) {
      reaping.forget.push({ id, why });
      continue;
    }
    kept += 1;
    if (!files) continue;
    const count = (perApp.get(app) ?? 0) + 1;
    perApp.set(app, count);
    if (count > filesPerApp) reaping.files.push({ id, why: "number" });
  }
  return reaping;
}

/** The crash whose files go first when the disk is too full. */
export const oldestFiles = (crashes: readonly Crash[]): Crash | undefined => newestFirst(crashes).findLast(({ files }) => files);

// Of two in the same millisecond the later one in the list is the newer.
const newestFirst = (crashes: readonly Crash[]): Crash[] => [...crashes].reverse().sort((a, b) => b.at - a.at);
