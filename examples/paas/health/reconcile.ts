import { type BackoffPolicy, diegoBackoff, restartDelayMs } from "./backoff.ts";

export interface DesiredApp {
  readonly droplet: string;
  readonly version: string;
  readonly instances: number;
  readonly updatedAtMs: number;
}

export interface SeenInstance {
  readonly droplet: string;
  readonly version: string;
  readonly instance: string;
  readonly index: number;
  readonly state: string;
  readonly sinceMs: number;
}

/** What is remembered between two passes, by `droplet version index`. Soft state: losing it costs one early restart. */
export interface Memory {
  readonly crashes: Map<string, { count: number; lastMs: number; instance: string }>;
  /** When a nudge was last sent, so that a slow answer is not asked for twice. */
  readonly nudged: Map<string, number>;
  /** Since when an index has had more than one instance. */
  readonly doubled: Map<string, number>;
}

export const emptyMemory = (): Memory => ({ crashes: new Map(), nudged: new Map(), doubled: new Map() });

export type Nudge =
  | { readonly type: "start"; readonly droplet: string; readonly version: string; readonly index: number; readonly why: "missing" | "crashed" }
  | { readonly type: "stop"; readonly droplet: string; readonly version: string; readonly instance: string; readonly index: number; readonly why: "extra" | "duplicate" };

export interface ReconcileOptions {
  readonly nowMs: number;
  /** A process changed more recently than this is left to the controller, which is acting on it now. Default 10 000 ms. */
  readonly graceMs?: number;
  /** The same nudge is not repeated within this time. Default 30 000 ms. */
  readonly quietMs?: number;
  readonly duplicateGraceMs?: number;
  readonly backoff?: BackoffPolicy;
}

const alive = new Set(["STARTING", "RUNNING", "RESUMING"]);
const counts = new Set([...alive, "EVACUATING", "CRASHED", "BORN"]);

/**
 * The difference between what should run and what does, as nudges for the controller.
 * A pure function of its arguments and `memory`, which it updates. The rules are those of HM9000's analyzer with Diego's back-off:
 * starts first, stops only for an app that needs no start, extra instances at once, duplicates late and all but one.
 */
export function reconcile(
  desired: readonly DesiredApp[],
  actual: readonly SeenInstance[],
  memory: Memory,
  { nowMs, graceMs = 10_000, quietMs = 30_000, duplicateGraceMs = 30_000, backoff = diegoBackoff }: ReconcileOptions,
): Nudge[] {
  const nudges: Nudge[] = [];
  const byDroplet = new Map<string, SeenInstance[]>();
  for (const each of actual)
    if (counts.has(each.state)) {
      const list = byDroplet.get(each.droplet);
      if (list) list.push(each);
      else byDroplet.set(each.droplet, [each]);
    }

  const due = (key: string): boolean => {
    if (nowMs - (memory.nudged.get(key) ?? -Infinity) < quietMs) return false;
    memory.nudged.set(key, nowMs);
    return true;
  };
  const stop = (each: SeenInstance, why: "extra" | "duplicate"): void => {
    if (due(`stop ${each.instance}`)) nudges.push({ type: "stop", droplet: each.droplet, version: each.version, instance: each.instance, index: each.index, why });
  };

  for (const app of desired) {
    const seen = (byDroplet.get(app.droplet) ?? []).filter(({ version }) => version === app.version);
    const young = nowMs - app.updatedAtMs < graceMs;
    let starting = false;
    for (let index = 0; index < app.instances; index++) {
      const key = `${app.droplet} ${app.version} ${index}`;
      const here = seen.filter((each) => each.index === index);
      const living = here.filter(({ state }) => alive.has(state));
      if (provenGood(living, nowMs, backoff)) memory.crashes.delete(key);
      if (living.length > 0) {
        memory.nudged.delete(`start ${key}`);
        continue;
      }
      const crashed = newest(here.filter(({ state }) => state === "CRASHED"));
      if (crashed) {
        const crash = remember(memory, key, crashed);
        if (nowMs - crash.lastMs < restartDelayMs(crash.count, backoff)) continue;
        starting = true;
        // A crash is news: the nudge before it was for another instance.
        if (due(`start ${key} after ${crashed.instance}`)) nudges.push({ type: "start", droplet: app.droplet, version: app.version, index, why: "crashed" });
      } else if (!young) {
        starting = true;
        if (due(`start ${key}`)) nudges.push({ type: "start", droplet: app.droplet, version: app.version, index, why: "missing" });
      }
    }
    for (const each of seen) if (each.index >= app.instances && alive.has(each.state) && !young) stop(each, "extra");
    if (!starting) for (const each of surplus(app, seen, memory, { nowMs, graceMs: duplicateGraceMs })) stop(each, "duplicate");
  }

  const wanted = new Map(desired.map((app) => [app.droplet, app]));
  for (const [droplet, seen] of byDroplet) {
    const app = wanted.get(droplet);
    if (app && nowMs - app.updatedAtMs < graceMs) continue;
    for (const each of seen) if ((!app || app.version !== each.version) && alive.has(each.state)) stop(each, "extra");
  }
  prune(memory, wanted, nowMs);
  return nudges;
}

const newest = (list: readonly SeenInstance[]): SeenInstance | undefined =>
  list.reduce<SeenInstance | undefined>((best, each) => (!best || each.sinceMs > best.sinceMs ? each : best), undefined);

function remember(memory: Memory, key: string, { instance, sinceMs }: SeenInstance): { count: number; lastMs: number } {
  const before = memory.crashes.get(key);
  if (before?.instance === instance) return before;
  const crash = { count: (before?.count ?? 0) + 1, lastMs: sinceMs, instance };
  memory.crashes.set(key, crash);
  return crash;
}

const provenGood = (living: readonly SeenInstance[], nowMs: number, { forgiveAfterMs }: BackoffPolicy): boolean =>
  living.some(({ state, sinceMs }) => state === "RUNNING" && nowMs - sinceMs > forgiveAfterMs);

/** Second instances at an index, once they have been there for a while. */
function surplus(app: DesiredApp, seen: readonly SeenInstance[], memory: Memory, { nowMs, graceMs }: { nowMs: number; graceMs: number }): SeenInstance[] {
  const found: SeenInstance[] = [];
  for (let index = 0; index < app.instances; index++) {
    const key = `${app.droplet} ${app.version} ${index}`;
    const here = seen.filter((each) => each.index === index && alive.has(each.state));
    if (here.length < 2) {
      memory.doubled.delete(key);
      continue;
    }
    const since = memory.doubled.get(key) ?? nowMs;
    memory.doubled.set(key, since);
    // The oldest running one stays: it has proved itself, and routers know it.
    if (nowMs - since >= graceMs)
      found.push(...[...here].sort((a, b) => Number(b.state === "RUNNING") - Number(a.state === "RUNNING") || a.sinceMs - b.sinceMs).slice(1));
  }
  return found;
}

function prune(memory: Memory, wanted: ReadonlyMap<string, DesiredApp>, nowMs: number): void {
  for (const key of memory.crashes.keys()) {
    const [droplet = "", version] = key.split(" ");
    if (wanted.get(droplet)?.version !== version) memory.crashes.delete(key);
  }
  for (const [key, atMs] of memory.nudged) if (nowMs - atMs > 3_600_000) memory.nudged.delete(key);
}
