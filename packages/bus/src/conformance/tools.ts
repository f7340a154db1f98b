import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { createBus, type Bus, type BusOptions } from "../bus.ts";
import type { Clock } from "../ports.ts";
import type { Packet, Transport, TransportEvent } from "../transport.ts";
import type { Case, World, WorldConnectOptions } from "./world.ts";

const patience = new AsyncLocalStorage<number>();

/** The connections and buses of one case; all are closed when it ends. */
export interface Stage {
  readonly world: World;
  connect(options?: WorldConnectOptions): Promise<Transport>;
  pair(): Promise<[Transport, Transport]>;
  bus(options?: Partial<BusOptions>): Promise<Bus>;
}

export const item = (play: (stage: Stage) => Promise<void>): Case => (world) => patience.run(world.patienceMs ?? 10_000, () => perform(play, world));

async function perform(play: (stage: Stage) => Promise<void>, world: World): Promise<void> {
  const opened: AsyncDisposable[] = [];
  const connect = async (options?: WorldConnectOptions): Promise<Transport> => {
    const transport = await world.connect(options);
    opened.push(transport);
    return transport;
  };
  try {
    await play({
      world,
      connect,
      pair: async () => [await connect(), await connect()],
      async bus(options = {}) {
        const bus = await createBus({ transport: await connect(), ...options });
        opened.push(bus);
        return bus;
      },
    });
  } finally {
    for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
  }
}

/** A subject that no other case and no other run uses. */
export const fresh = (name = "x"): string => `c${randomBytes(6).toString("hex")}.${name}`;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

export const texts = (packets: readonly Packet[]): string[] => packets.map(({ text }) => text);

/** Waits until `there` gives something true. */
export async function eventually<T>(there: () => T, what: string | (() => string)): Promise<NonNullable<T>> {
  const deadline = performance.now() + (patience.getStore() ?? 10_000);
  for (;;) {
    const value = there();
    if (value) return value;
    if (performance.now() > deadline) assert.fail(typeof what === "string" ? `in vain: ${what}` : what());
    await new Promise((done) => setTimeout(done, 2));
  }
}

/** Collects what arrives and waits until there is enough of it. */
export interface Collector {
  readonly got: Packet[];
  readonly receive: (packet: Packet) => void;
  until(count: number): Promise<void>;
}

export function collector(): Collector {
  const got: Packet[] = [];
  return {
    got,
    receive: (packet) => void got.push(packet),
    until: async (count) => void (await eventually(() => got.length >= count, () => `${got.length} of ${count} packets arrived`)),
  };
}

/** Resolves when all that `from` has said has reached `to`: a mark said last has come by. */
export async function passed(from: Transport, ...to: Transport[]): Promise<void> {
  for (const each of to) {
    const mark = collector();
    const subject = fresh("mark");
    const taken = each.subscribe(subject, mark.receive);
    await each.flush();
    // Between two servers it takes a moment until one knows who listens at the other, so it is said until it is heard.
    const saying = setInterval(() => from.publish(subject, ""), 50);
    try {
      from.publish(subject, "");
      await mark.until(1);
    } finally {
      clearInterval(saying);
    }
    taken.unsubscribe();
  }
}

/** Everybody's subscriptions stand. */
export const ready = async (...all: Transport[]): Promise<void> => void (await Promise.all(all.map((each) => each.flush())));

export function eventsOf<T extends TransportEvent | { readonly type: string }>(source: { on(listen: (event: T) => void): Disposable }): T[] {
  const seen: T[] = [];
  source.on((event) => void seen.push(event));
  return seen;
}

/** Time that stands still until it is told otherwise. */
export interface ManualClock extends Clock {
  /** Timers that wait. */
  readonly waiting: number;
  advance(ms: number): void;
}

export function manualClock(): ManualClock {
  let nowMs = 1_000_000;
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  return {
    now: () => nowMs,
    after(ms, run) {
      const timer = { atMs: nowMs + ms, run };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    get waiting() {
      return timers.size;
    },
    advance(ms) {
      const until = nowMs + ms;
      for (;;) {
        const next = [...timers].filter(({ atMs }) => atMs <= until).sort((a, b) => a.atMs - b.atMs)[0];
        if (!next) break;
        nowMs = Math.max(nowMs, next.atMs);
        timers.delete(next);
        next.run();
      }
      nowMs = until;
    },
  };
}

/** A promise that is awaited later: should the case fail before, its own failure is nobody's business. */
export function awaited<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Something to wait for that the case itself opens. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((done) => (open = done));
  return { opened, open: () => open() };
}
