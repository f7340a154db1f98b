import { randomUUID } from "node:crypto";
import { DeaError } from "../errors.ts";
import { choose, type Wanted, wantedOf } from "./choose.ts";
import { deliver, type Delivery, type DeliverOptions, type Send } from "./deliver.ts";
import { diagnose } from "./diagnose.ts";
import { createHostTable, type HostEntry } from "./host-table.ts";
import { countedIn, type Promised } from "./promise.ts";
import { tooManyOpen } from "./refusal.ts";
import type { Reservation, Reserved } from "./reservation.ts";
import type { PlacementHost, PlacementRequest } from "./shapes.ts";

export interface PlacerOptions {
  /** A host that was silent for this long is out. Default 15 000 ms: three advertisements. */
  hostTtlMs?: number;
  /** A promise without an answer is forgotten after this. Default 10 000 ms. */
  unansweredMs?: number;
  /** A promise that was accepted and that no advertisement has confirmed is forgotten after this. Default 15 000 ms. */
  unconfirmedMs?: number;
  /** Hosts beyond this many are not taken in. Default 20 000. */
  maxHosts?: number;
  /** Promises open at one time; more are refused. Default 100 000. */
  maxOpen?: number;
  /** Milliseconds that only go forward. Default `performance.now`. */
  now?: () => number;
}

/** One host as it advertises itself. `counted` names promises that the numbers hold already; hosts that cannot tell leave it out. */
export interface HostNews extends PlacementHost {
  readonly counted?: readonly string[];
}

/** `place` with a memory: hosts as they were heard last, less what was promised since. */
export interface Placer {
  /** News of one host. False where the table is full. @throws DeaError DEA_INVALID_HOST */
  hear(news: HostNews): boolean;
  /** The host takes nothing more. Its promises are void. */
  remove(host: string): boolean;
  /** Every host is given another term: silence said nothing, for we could not hear. */
  renew(): void;
  /** The snapshot: what `place` would be given now. */
  hosts(): PlacementHost[];
  /** Chooses as `place` does, and keeps the room. @throws DeaError DEA_INVALID_SPEC (also: the id is in use) */
  reserve(request: PlacementRequest, options?: { id?: string; leaveOut?: ReadonlySet<string> }): Reserved;
  /** Reserves, sends, and goes elsewhere at once where the host refuses. @throws what `send` throws, DeaError DEA_INVALID_SPEC */
  deliver(request: PlacementRequest, send: Send, options?: DeliverOptions): Promise<Delivery>;
  /** For an operator's eyes. */
  readonly size: { readonly hosts: number; readonly open: number };
}

/**
 * Makes a placer. It has no timers: what is over is put away when somebody asks. News of one host must come in the order in which
 * it spoke, answers included, as a NATS connection keeps it.
 */
export function createPlacer(options: PlacerOptions = {}): Placer {
  const { hostTtlMs = 15_000, unansweredMs = 10_000, unconfirmedMs = 15_000, maxHosts = 20_000, maxOpen = 100_000, now = () => performance.now() } = options;
  const table = createHostTable();
  const open = new Map<string, Promised>();
  // One term each, so the first is always the next to run out.
  const unanswered = new Set<Promised>();
  const unconfirmed = new Set<Promised>();

  const forget = (promised: Promised): void => {
    open.delete(promised.id);
    unanswered.delete(promised);
    unconfirmed.delete(promised);
  };
  const settle = (promised: Promised): boolean => {
    if (open.get(promised.id) !== promised) return false;
    forget(promised);
    const entry = table.get(promised.hostId);
    return entry !== undefined && table.settle(entry, promised);
  };
  const remove = (id: string): boolean => {
    const entry = table.remove(id);
    for (const promised of entry?.promises ?? []) forget(promised);
    return entry !== undefined;
  };
  const tidy = (): void => {
    const at = now();
    for (const set of [unanswered, unconfirmed])
      for (const promised of set) {
        if (promised.untilMs > at) break;
        settle(promised);
      }
    for (const { host, seenAtMs } of table.entries()) {
      if (at - seenAtMs <= hostTtlMs) break;
      remove(host.id);
    }
  };

  const reservationOf = (promised: Promised): Reservation => ({
    id: promised.id,
    host: promised.hostId,
    get open() {
      return open.get(promised.id) === promised;
    },
    accept() {
      if (promised.accepted || !unanswered.delete(promised)) return;
      promised.accepted = true;
      promised.untilMs = now() + unconfirmedMs;
      unconfirmed.add(promised);
    },
    release: () => void settle(promised),
    full() {
      const entry = table.get(promised.hostId);
      if (!settle(promised) || !entry) return;
      entry.ceiling = Math.min(entry.ceiling, promised.wanted.memoryBytes - 1);
      table.recount(entry);
    },
  });
  const keep = (entry: HostEntry, id: string, wanted: Wanted): Reserved => {
    const promised: Promised = { id, hostId: entry.host.id, wanted, accepted: false, untilMs: now() + unansweredMs };
    open.set(id, promised);
    unanswered.add(promised);
    table.promise(entry, promised);
    return { ok: true, host: entry.host.id, reservation: reservationOf(promised) };
  };

  const placer: Placer = {
    hear(news) {
      if (table.size >= maxHosts) tidy();
      const before = table.get(news.id);
      if (!before && table.size >= maxHosts) return false;
      const { counted, ...host } = news;
      const entry = table.put(host, now());
      const evidence = {
        counted: counted && new Set(counted),
        now: (app: string) => entry.instances.get(app) ?? 0,
        before: (app: string) => before?.instances.get(app) ?? 0,
      };
      for (const promised of countedIn(entry.promises, evidence)) settle(promised);
      return true;
    },
    remove,
    renew() {
      const at = now();
      for (const entry of table.entries()) entry.seenAtMs = at;
    },
    hosts() {
      tidy();
      return [...table.entries()].map(snapshotOf);
    },
    reserve(request, { id = randomUUID(), leaveOut } = {}) {
      tidy();
      const wanted = wantedOf(request);
      if (open.has(id)) throw new DeaError("DEA_INVALID_SPEC", `a promise with the id ${id} is open already`);
      if (open.size >= maxOpen) return { ok: false, refusal: tooManyOpen(table.size, open.size) };
      const pool = table.pool(wanted.pool);
      const best = pool && table.counting(wanted.pool, wanted.app, () => choose(pool, wanted, leaveOut));
      const entry = best && table.get(best.id);
      return entry ? keep(entry, id, wanted) : { ok: false, refusal: diagnose(pool, wanted, table.size) };
    },
    deliver: (request, send, how) => deliver({ reserve: placer.reserve, remove: placer.remove, hosts: () => table.size }, request, send, how),
    get size() {
      return { hosts: table.size, open: open.size };
    },
  };
  return placer;
}

function snapshotOf({ host, candidate, instances, promises }: HostEntry): PlacementHost {
  const counts = new Map(instances);
  for (const { wanted: { app } } of promises) counts.set(app, (counts.get(app) ?? 0) + 1);
  const sized = (freeBytes: number, totalBytes: number) => (totalBytes === 0 ? { freeBytes } : { freeBytes, totalBytes });
  return {
    ...host,
    memory: sized(candidate.freeMemory, candidate.memorySize),
    ...(host.disk && { disk: sized(candidate.freeDisk, candidate.diskSize) }),
    ...(host.freeInstances !== undefined && { freeInstances: candidate.freeInstances }),
    instances: Object.fromEntries(counts),
  };
}
