import { type Candidate, candidateOf, isCount } from "./candidate.ts";
import { dropGroup, type Group, groupFor, type Groups, noGroups } from "./group.ts";
import type { Promised } from "./promise.ts";
import type { PlacementHost } from "./shapes.ts";

/** One host as it was heard last, less what was promised since. */
export interface HostEntry {
  readonly host: PlacementHost;
  readonly group: Group;
  readonly candidate: Candidate;
  /** Free as the host said. */
  readonly said: { readonly memory: number; readonly disk: number; readonly instances: number };
  readonly instances: ReadonlyMap<string, number>;
  /** Oldest first. */
  readonly promises: Set<Promised>;
  /** Since a refusal: not so much memory is there, whatever was said. */
  ceiling: number;
  /** Where it stands in its group's list. */
  at: number;
  seenAtMs: number;
}

/** Hosts by id and by pool, and for each app the few hosts where it is: a choice then reads numbers only. */
export interface HostTable {
  readonly size: number;
  get(id: string): HostEntry | undefined;
  /** Longest silent first. */
  entries(): IterableIterator<HostEntry>;
  pool(name: string | undefined): Groups | undefined;
  /** Puts a host in the place of what was known of it; promises move over. @throws DeaError DEA_INVALID_HOST */
  put(host: PlacementHost, seenAtMs: number): HostEntry;
  remove(id: string): HostEntry | undefined;
  promise(entry: HostEntry, promised: Promised): void;
  /** False where it was not open. */
  settle(entry: HostEntry, promised: Promised): boolean;
  /** Free is what was said, less what is promised, and below the ceiling. */
  recount(entry: HostEntry): void;
  /** Fills in the counts of an app for the time of one choice. */
  counting<T>(pool: string | undefined, app: string, run: () => T): T;
}

export function createHostTable(): HostTable {
  const byId = new Map<string, HostEntry>();
  const pools = new Map<string | undefined, Groups>();
  /** Advertised and promised together. */
  const byApp = new Map<string, Map<string, number>>();

  const add = (app: string, id: string, more: number): void => {
    if (more === 0) return;
    let hosts = byApp.get(app);
    if (!hosts) byApp.set(app, (hosts = new Map()));
    const count = (hosts.get(id) ?? 0) + more;
    if (count !== 0) return void hosts.set(id, count);
    hosts.delete(id);
    if (hosts.size === 0) byApp.delete(app);
  };
  const groupOf = (host: PlacementHost): Group => {
    let pool = pools.get(host.pool);
    if (!pool) pools.set(host.pool, (pool = noGroups()));
    return groupFor(pool, host);
  };
  /** The last of the group takes its place. */
  const detach = ({ group, at, candidate, host: { pool: name } }: HostEntry): void => {
    const last = group.candidates.pop() as Candidate;
    if (last !== candidate) {
      group.candidates[at] = last;
      (byId.get(last.id) as HostEntry).at = at;
    }
    const pool = pools.get(name);
    if (group.candidates.length > 0 || !pool) return;
    dropGroup(pool, group);
    if (pool.groups.size === 0) pools.delete(name);
  };

  const recount = ({ candidate, said, promises, ceiling }: HostEntry): void => {
    let { memory, disk } = said;
    for (const { wanted } of promises) {
      memory -= wanted.memoryBytes;
      disk -= wanted.diskBytes;
    }
    candidate.freeMemory = Math.min(memory, ceiling);
    candidate.freeDisk = disk;
    candidate.freeInstances = said.instances - promises.size;
  };

  return {
    get size() {
      return byId.size;
    },
    get: (id) => byId.get(id),
    entries: () => byId.values(),
    pool: (name) => pools.get(name),
    recount,
    put(host, seenAtMs) {
      const before = byId.get(host.id);
      const candidate = candidateOf(host);
      const instances = new Map<string, number>();
      for (const [app, count] of Object.entries(host.instances ?? {})) if (isCount(count)) instances.set(app, count);
      if (before) detach(before);
      const group = groupOf(host);
      const entry: HostEntry = {
        host, group, candidate, instances, seenAtMs,
        said: { memory: candidate.freeMemory, disk: candidate.freeDisk, instances: candidate.freeInstances },
        promises: before?.promises ?? new Set(), ceiling: Infinity, at: group.candidates.length,
      };
      group.candidates.push(candidate);
      for (const [app, count] of before?.instances ?? []) if (!instances.has(app)) add(app, host.id, -count);
      for (const [app, count] of instances) add(app, host.id, count - (before?.instances.get(app) ?? 0));
      // Deleted first: the Map keeps the longest silent in front.
      byId.delete(host.id);
      byId.set(host.id, entry);
      recount(entry);
      return entry;
    },
    remove(id) {
      const entry = byId.get(id);
      if (!entry) return undefined;
      byId.delete(id);
      detach(entry);
      for (const [app, count] of entry.instances) add(app, id, -count);
      for (const { wanted } of entry.promises) add(wanted.app, id, -1);
      return entry;
    },
    promise(entry, promised) {
      entry.promises.add(promised);
      add(promised.wanted.app, entry.host.id, 1);
      recount(entry);
    },
    settle(entry, promised) {
      if (!entry.promises.delete(promised)) return false;
      add(promised.wanted.app, entry.host.id, -1);
      recount(entry);
      return true;
    },
    counting(name, app, run) {
      for (const zone of pools.get(name)?.zones.values() ?? []) zone.count = 0;
      const hosts = byApp.get(app) ?? new Map<string, number>();
      const touched: Candidate[] = [];
      for (const [id, count] of hosts) {
        const entry = byId.get(id);
        if (!entry || entry.host.pool !== name) continue;
        entry.candidate.count = count;
        entry.group.zone.count += count;
        touched.push(entry.candidate);
      }
      try {
        return run();
      } finally {
        for (const candidate of touched) candidate.count = 0;
      }
    },
  };
}
