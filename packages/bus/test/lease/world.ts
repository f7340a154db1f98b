import { BusError } from "../../src/errors.ts";
import type { Bucket } from "../../src/kv/port.ts";
import type { Clock } from "../../src/ports.ts";

/** mulberry32: the same numbers for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface VirtualClock extends Clock {
  /** Runs what is due within so many milliseconds; `each` after every step. */
  advance(ms: number, each?: () => void): Promise<void>;
}

export function createVirtualClock(): VirtualClock {
  let nowMs = 1_000_000;
  let count = 0;
  const timers = new Map<number, { atMs: number; run: () => void }>();
  const settle = (): Promise<void> => new Promise((done) => setImmediate(done));
  return {
    now: () => nowMs,
    after(ms, run) {
      const id = count++;
      timers.set(id, { atMs: nowMs + ms, run });
      return { [Symbol.dispose]: () => void timers.delete(id) };
    },
    async advance(ms, each = () => undefined) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        let next: [number, { atMs: number; run: () => void }] | undefined;
        for (const entry of timers) if (entry[1].atMs <= untilMs && (!next || entry[1].atMs < next[1].atMs)) next = entry;
        if (!next) break;
        timers.delete(next[0]);
        nowMs = Math.max(nowMs, next[1].atMs);
        next[1].run();
        await settle();
        each();
      }
      nowMs = untilMs;
    },
  };
}

/** A process as the others see it: its clock runs at its own pace, its calls take time and get lost, it can be stopped and killed. */
export interface Node {
  readonly clock: Clock;
  readonly bucket: Bucket;
  readonly running: boolean;
  pause(): void;
  resume(): void;
  kill(): void;
}

export interface NodeOptions {
  base: Clock;
  bucket: Bucket;
  random: () => number;
  /** Its clock runs so much faster. Default 1. */
  rate?: number;
  latencyMs?: number;
  /** Part of the calls whose request or answer is lost. Default 0. */
  loss?: number;
}

export function createNode({ base, bucket, random, rate = 1, latencyMs = 0, loss = 0 }: NodeOptions): Node {
  let state: "running" | "paused" | "killed" = "running";
  let waiting: (() => void)[] = [];
  const gate = (run: () => void): void => {
    if (state === "running") run();
    else if (state === "paused") waiting.push(run);
  };
  const way = (run: () => void): void => void base.after(random() * latencyMs, run);
  const originMs = base.now();
  const clock: Clock = {
    now: () => originMs + (base.now() - originMs) * rate,
    after: (ms, run) => base.after(ms / rate, () => gate(run)),
  };
  const lost = (): BusError => new BusError("BUS_DISCONNECTED", "lost on the way", { retryable: true });
  const call = <T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const aborted = (): void => gate(() => fail(signal?.reason as Error));
      const done = (value: T): void => (signal?.removeEventListener("abort", aborted), resolve(value));
      const fail = (error: Error): void => (signal?.removeEventListener("abort", aborted), reject(error));
      signal?.addEventListener("abort", aborted, { once: true });
      const fate = random();
      if (fate < loss / 2) return way(() => gate(() => fail(lost())));
      way(() => run().then(
        (value) => way(() => gate(() => (fate < loss ? fail(lost()) : done(value)))),
        (error: Error) => way(() => gate(() => fail(error))),
      ));
    });
  // A request is on its way whatever becomes of who sent it: the store never sees the signal.
  const without = <T extends { signal?: AbortSignal }>({ signal: _, ...options }: T): Omit<T, "signal"> => options;
  return {
    clock,
    get running() {
      return state === "running";
    },
    pause: () => void (state === "running" && (state = "paused")),
    resume() {
      if (state !== "paused") return;
      state = "running";
      const late = waiting;
      waiting = [];
      for (const run of late) run();
    },
    kill() {
      state = "killed";
      waiting = [];
    },
    bucket: {
      ...bucket,
      get: (key, options = {}) => call(options.signal, () => bucket.get(key)),
      put: (key, value, options = {}) => call(options.signal, () => bucket.put(key, value, without(options))),
      create: (key, value, options = {}) => call(options.signal, () => bucket.create(key, value, without(options))),
      update: (key, value, revision, options = {}) => call(options.signal, () => bucket.update(key, value, revision, without(options))),
      delete: (key, options = {}) => call(options.signal, () => bucket.delete(key, without(options))),
      watch(options) {
        const inner = bucket.watch(options);
        return {
          async *[Symbol.asyncIterator]() {
            for await (const event of inner) {
              await new Promise<void>((done) => way(() => gate(done)));
              yield event;
            }
          },
          [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
        };
      },
    },
  };
}
