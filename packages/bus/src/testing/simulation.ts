import { BusError } from "../errors.ts";
import { createMemoryBuckets } from "../kv/memory.ts";
import { createRights, type UserRights } from "../memory/rights.ts";
import { createMemoryObjects } from "../objects/memory.ts";
import type { Clock } from "../ports.ts";
import { createMemoryQueues } from "../queue/memory.ts";
import { assertSubject } from "../subject.ts";
import type { Transport } from "../transport.ts";
import { type Connection, createConnection } from "./connection.ts";
import { createFaultPlan, type Fault, type Faults } from "./faults.ts";
import { createIslands } from "./islands.ts";
import { createNetwork } from "./network.ts";
import { createRandom } from "./random.ts";
import { createRemote } from "./remote.ts";
import { createScheduler } from "./scheduler.ts";
import { remoteBucket, remoteObjects, remoteQueue } from "./shared-state.ts";
import { createStandIns } from "./stand-ins.ts";
import { createTrace, type SimulationTrace } from "./trace.ts";

export interface SimulationOptions {
  /** Decides about everything that is left to chance. Default 1. */
  seed?: number;
  /** What is wrong with every link from the beginning. */
  faults?: Partial<Faults>;
  /** Faults that may act, by their ids; all others are left out. Default: all. */
  only?: readonly string[];
  /** Milliseconds since the epoch at which virtual time begins. Default 2020-01-01T00:00:00Z. */
  startMs?: number;
  /** Entries that the trace keeps. Default 10 000. */
  traceLimit?: number;
  /** Things that may happen before the simulation is taken for one that never ends. Default 250 000. */
  maxSteps?: number;
  /** Real time that a simulation in which nothing is due waits for the world outside. Default 2 000 ms. */
  idleMs?: number;
  /** Largest packet in bytes, headers included. Default 1 MiB, as a NATS server has it. */
  maxPayloadBytes?: number;
  /** What may wait for one connection that does not read; beyond that it is cut. Default 64 MiB, as a NATS server has it. */
  maxPendingBytes?: number;
  /** What users may do, as for `createMemoryHub`. */
  users?: Readonly<Record<string, UserRights>>;
}

export interface ConnectOptions {
  /** Whether it hears what it says itself. Default true. */
  echo?: boolean;
  /** Default `_INBOX`. */
  inboxPrefix?: string;
  /** One of `users`. Default: somebody who may do everything. */
  user?: string;
}

/**
 * A network in a box: nodes, links that can be made bad, shared state, and time that passes only when somebody waits for it.
 * What happens hangs on the seed alone, as long as what is tested takes time from `clock`, chance from `random`, and waits for nothing else.
 */
export interface Simulation extends AsyncDisposable {
  readonly seed: number;
  /** Virtual time; timers take whole milliseconds, at least one. Give it to everything that is tested. */
  readonly clock: Clock;
  /** Faults of all links; assign to change them on the way: `sim.faults.drop = 0.1`. */
  readonly faults: Faults;
  readonly trace: SimulationTrace;
  /** Faults that acted so far. */
  readonly acted: readonly Fault[];
  /** Things that happened so far. */
  readonly steps: number;
  /** A number in [0, 1), the same in every run with the same seed. */
  random(): number;
  /** A connection for the node with this name. A node may have several; they share its fate. @throws BusError `BUS_CLOSED`, `BUS_UNAUTHORIZED`, `BUS_INVALID_SUBJECT` */
  connect(name: string, options?: ConnectOptions): Transport;
  /** A clock whose timers wait while the node is paused. */
  clockOf(name: string): Clock;
  /** Faults of one direction of one link, over those of all: `sim.link("a", "b").drop = 1`. The shared state is the node `store`. */
  link(from: string, to: string): Partial<Faults>;
  /**
   * Nodes of different groups do not hear each other, and nobody is told; nodes in no group are one more group.
   * The shared state stays with the largest group, the last named one among equals; name `store` to put it elsewhere.
   */
  partition(...groups: readonly (readonly string[])[]): void;
  /** Ends the partition. */
  heal(): void;
  /** The connections of the node break, and it knows. What is on its way is lost. */
  disconnect(name: string): void;
  reconnect(name: string): void;
  /** The node stands still, as a stopped process does: nothing reaches it, and timers of `clockOf` wait. */
  pause(name: string): void;
  resume(name: string): void;
  /** The chunks that an object store keeps, by the id of the object: look at them, or damage them. */
  chunksOf(store: string): Map<string, Uint8Array[]>;
  /** Everything that falls due in this time happens, in order; promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Time passes until no packet is on its way. @throws BusError `BUS_TIMEOUT` after `withinMs` of virtual time, default 60 000 */
  settle(options?: { withinMs?: number }): Promise<void>;
  /** Time passes until the condition holds. @throws BusError `BUS_TIMEOUT` after `withinMs` of virtual time, default 60 000 */
  until(condition: () => boolean, options?: { withinMs?: number }): Promise<void>;
  /** Time passes until this is done. Whatever awaits an answer of the bus belongs in here. */
  run<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Promise<T>;
}

/** @returns a network that nothing is connected to yet */
export function createSimulation({
  seed = 1, faults = {}, only, startMs = Date.UTC(2020, 0, 1), traceLimit = 10_000, maxSteps = 250_000, idleMs = 2_000, maxPayloadBytes = 1_048_576,
  maxPendingBytes = 67_108_864, users = {},
}: SimulationOptions = {}): Simulation {
  const scheduler = createScheduler({ startMs, maxSteps, idleMs });
  const trace = createTrace(traceLimit, () => scheduler.nowUs);
  const plan = createFaultPlan(seed, faults, only && new Set(only), () => scheduler.nowUs / 1_000);
  const islands = createIslands();
  const connections = new Map<string, Set<Connection>>();
  const prefixes = new Set<string>();
  const shown = createStandIns(prefixes);
  const network = createNetwork({ seed, maxPendingBytes, scheduler, plan, islands, trace, shown });
  const shared = {
    buckets: createMemoryBuckets({ clock: scheduler.clock }),
    objects: createMemoryObjects({ clock: scheduler.clock }),
    queues: createMemoryQueues({ clock: scheduler.clock, maxPayloadBytes }),
  };
  let messages = 0;
  let ended = false;

  const of = (name: string): Connection[] => [...(connections.get(name) ?? [])];
  const within = (ms: number, holds: () => boolean, late: () => string): Promise<void> => scheduler.run(() => new Promise((resolve, reject) => {
    const end = (act: () => void): true => {
      watching[Symbol.dispose]();
      deadline[Symbol.dispose]();
      act();
      return true;
    };
    const deadline = scheduler.at(scheduler.nowUs + ms * 1_000, () => end(() => reject(new BusError("BUS_TIMEOUT", late()))), { late: true });
    const watching = scheduler.watch(() => {
      try {
        return holds() && end(resolve);
      } catch (error) {
        return end(() => reject(error as Error));
      }
    });
  }));

  return {
    seed,
    clock: scheduler.clock,
    faults: plan.faults,
    trace,
    acted: plan.acted,
    get steps() {
      return scheduler.steps;
    },
    random: createRandom(seed),
    connect(name, { echo = true, inboxPrefix = "_INBOX", user } = {}) {
      if (ended) throw new BusError("BUS_CLOSED", "this simulation has ended");
      const given = user === undefined ? undefined : users[user];
      if (user !== undefined && !given) throw new BusError("BUS_UNAUTHORIZED", `there is no user ${JSON.stringify(user)} in this simulation`);
      assertSubject(inboxPrefix);
      if (/[*>]/.test(inboxPrefix)) throw new BusError("BUS_INVALID_SUBJECT", `${JSON.stringify(inboxPrefix)} is no prefix for answers: it has wildcards`);
      prefixes.add(`${inboxPrefix}.`);
      const peers = connections.get(name) ?? new Set();
      connections.set(name, peers);
      const connection = createConnection({
        name, echo, inboxPrefix, maxPayloadBytes, rights: given && createRights(given), clock: scheduler.clock, network, trace, shown, nextMessage: () => ++messages, ended: () => void peers.delete(connection),
      });
      peers.add(connection);
      trace.add({ event: "connect", from: name });
      const { transport } = connection;
      const remote = createRemote({ connection, clock: scheduler.clockOf(name), network, plan, islands, trace });
      const isClosed = (): boolean => transport.status === "closed";
      const untilClosed = <T extends AsyncDisposable>(opened: T): T => {
        void transport.closed.then(() => opened[Symbol.asyncDispose]());
        return opened;
      };
      transport.openBucket = (bucket, options) => remote.call(`${bucket} open`, async () => remoteBucket(untilClosed(await shared.buckets.open(bucket, options)), remote, isClosed));
      transport.openObjects = (store, options) => remote.call(`${store} open`, async () => remoteObjects(untilClosed(await shared.objects.open(store, options)), remote));
      transport.openQueue = (queue, options) => remote.call(`${queue} open`, async () => remoteQueue(untilClosed(await shared.queues.open(queue, options)), remote, isClosed));
      return transport;
    },
    clockOf: (name) => scheduler.clockOf(name),
    link: (from, to) => plan.link(from, to),
    partition(...groups) {
      const note = groups.map((names) => names.join(" ")).join(" | ");
      if (!plan.asked("partition", note)) return;
      islands.split(groups, connections.keys());
      trace.add({ event: "partition", note });
    },
    heal() {
      islands.heal();
      trace.add({ event: "heal" });
    },
    disconnect(name) {
      if (!plan.asked("disconnect", name)) return;
      trace.add({ event: "disconnect", from: name });
      for (const each of of(name)) each.breakOff();
    },
    reconnect(name) {
      trace.add({ event: "reconnect", from: name });
      for (const each of of(name)) each.restore();
    },
    pause(name) {
      if (!plan.asked("pause", name)) return;
      trace.add({ event: "pause", from: name });
      scheduler.pause(name);
    },
    resume(name) {
      trace.add({ event: "resume", from: name });
      scheduler.resume(name);
    },
    chunksOf: (store) => shared.objects.chunks(store),
    advance: (ms) => scheduler.run(() => new Promise((done) => void scheduler.at(scheduler.nowUs + Math.round(ms * 1_000), done, { late: true }))),
    settle: ({ withinMs = 60_000 } = {}) => within(withinMs, () => network.inFlight === 0, () => `after ${withinMs} ms of virtual time packets are still on their way: ${network.inFlight}`),
    until: (condition, { withinMs = 60_000 } = {}) => within(withinMs, condition, () => `within ${withinMs} ms of virtual time it did not come to ${String(condition).replace(/\s+/g, " ").slice(0, 200)}`),
    run: (work) => scheduler.run(work),
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      for (const name of [...connections.keys()]) for (const each of of(name)) each.close();
      scheduler.stop();
    },
  };
}
