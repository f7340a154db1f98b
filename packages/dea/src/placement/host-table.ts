import { type Candidate, candidateOf, isCount, type Zone, zoneName } from "./candidate.ts";
import type { Promised } from "./promise.ts";
import type { PlacementHost } from "./shapes.ts";

/** One host as it was heard last, less what was promised since. */
export interface HostEntry {
  readonly host: PlacementHost;
  readonly pool: PoolEntry;
  readonly candidate: Candidate;
  /** Free as the host said. */
  readonly said: { readonly memory: number; readonly disk: number; readonly instances: number };
  readonly instances: ReadonlyMap<string, number>;
  /** Oldest first. */
  readonly promises: Set<Promised>;
  /** Since a refusal: not so much memory is there, whatever was said. */
  ceiling: number;
  /** Where it stands in its pool's list. */
  at: number;
  seenAtMs: number;
}

export interface PoolEntry {
  readonly name: string | undefined;
  readonly entries: HostEntry[];
  readonly candidates: Candidate[];
  readonly zones: Map<string, Zone>;
}

/** Hosts by id and by pool, and for each app the few hosts where it is: a choice then reads numbers only. */
export interface HostTable {
  readonly size: number;
  get(id: string): HostEntry | undefined;
  /** Longest silent first. */
  entries(): IterableIterator<HostEntry>;
  pool(name: string | undefined): PoolEntry | undefined;
  /** Puts a host in the place of what was known of it; promises move over. @throws DeaError DEA_INVALID_HOST */
  put(host: PlacementHost, seenAtMs: number): HostEntry;
  remove(id: string): HostEntry | undefined;
  promise(entry: HostEntry, promised: Promised): void;
  /** False where it was not open. */
  settle(entry: HostEntry, promised: Promised): boolean;
  /** Free is what was said, less what is promised, and below the ceiling. */
  recount(entry: HostEntry): void;
  /** Fills in the counts of an app for the time of one choice. */
  counting<T>(pool: PoolEntry, app: string, run: () => T): T;
}

export function createHostTable(): HostTable {
  const byId = new Map<string, HostEntry>();
  const pools = new Map<string | undefined, PoolEntry>();
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
  const poolOf = (name: string | undefined): PoolEntry => {
    let pool = pools.get(name);
    if (!pool) pools.set(name, (pool = { name, entries: [], candidates: [], zones: new Map() }));
    return pool;
  };
  const zoneOf = ({ zones }: PoolEntry, name: string): Zone => {
    let zone = zones.get(name);
    if (!zone) zones.set(name, (zone = { name, hosts: 0, count: 0 }));
    zone.hosts += 1;
    return zone;
  };
  const leaveZone = ({ pool, candidate: { zone } }: HostEntry): void => {
    zone.hosts -= 1;
    if (zone.hosts === 0) pool.zones.delete(zone.name);
  };
  const detach = (entry: HostEntry): void => {
    const { pool, at, host } = entry;
    leaveZone(entry);
    const last = pool.entries.pop() as HostEntry;
    pool.candidates.pop();
    if (last.host.id !== host.id) {
      last.at = at;
      pool.entries[at] = last;
      pool.candidates[at] = last.candidate;
    }
    if (pool.entries.length === 0) pools.delete(pool.name);
  };
  const attach = (entry: HostEntry): void => {
    entry.pool.entries[entry.at] = entry;
    entry.pool.candidates[entry.at] = entry.candidate;
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
      const fresh = candidateOf(host, { name: "", hosts: 0, count: 0 });
      const instances = new Map(Object.entries(host.instances ?? {}).filter(([, count]) => isCount(count)));
      const stays = before?.host.pool === host.pool;
      if (before && !stays) detach(before);
      const pool = poolOf(host.pool);
      const zone = zoneOf(pool, zoneName(host));
      if (before && stays) leaveZone(before);
      const entry: HostEntry = {
        host, pool, instances, seenAtMs,
        candidate: { ...fresh, zone },
        said: { memory: fresh.freeMemory, disk: fresh.freeDisk, instances: fresh.freeInstances },
        promises: before?.promises ?? new Set(), ceiling: Infinity,
        at: before && stays ? before.at : pool.entries.length,
      };
      attach(entry);
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
    counting(pool, app, run) {
      for (const zone of pool.zones.values()) zone.count = 0;
      const hosts = byApp.get(app) ?? new Map<string, number>();
      const touched: Candidate[] = [];
      for (const [id, count] of hosts) {
        const entry = byId.get(id);
        if (entry?.pool !== pool) continue;
        entry.candidate.count = count;
        entry.candidate.zone.count += count;
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
