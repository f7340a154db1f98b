import { setImmediate as turn, setTimeout as realSleep } from "node:timers/promises";
import { BusError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { Agenda, type Appointment } from "./agenda.ts";

export interface SchedulerOptions {
  /** Milliseconds since the epoch at which virtual time begins. */
  startMs: number;
  /** Things that may happen before the simulation is taken for one that never ends. */
  maxSteps: number;
  /** Real time that a simulation in which nothing is due waits for the world outside. */
  idleMs: number;
}

/** Virtual time: a list of what is due, worked off one by one while somebody waits for it. */
export interface Scheduler {
  readonly clock: Clock;
  /** Microseconds since the simulation began. */
  readonly nowUs: number;
  /** Things that happened. */
  readonly steps: number;
  /** A clock whose timers wait while `node` is paused. */
  clockOf(node: string | undefined): Clock;
  /** Runs at a moment, at the earliest now. */
  at(us: number, run: () => void, options?: { late?: boolean; node?: string }): Disposable;
  /** Time passes until this is done; several may run at once. */
  run<T>(work: PromiseLike<T> | (() => PromiseLike<T> | T)): Promise<T>;
  /** Looked at after each step until it says true. */
  watch(check: () => boolean): Disposable;
  isPaused(node: string): boolean;
  pause(node: string): void;
  resume(node: string): void;
  /** Nothing happens any more; whoever waits is told so. */
  stop(): void;
}

export function createScheduler({ startMs, maxSteps, idleMs }: SchedulerOptions): Scheduler {
  const agenda = new Agenda();
  const goals = new Set<(error: unknown) => void>();
  const watchers = new Set<() => boolean>();
  const paused = new Set<string>();
  let held: Appointment[] = [];
  let nowUs = 0;
  let order = 0;
  let steps = 0;
  let looping = false;
  let stopped = false;

  const at: Scheduler["at"] = (us, run, { late = false, node } = {}) => {
    const item: Appointment = { atUs: Math.max(nowUs, us), order: order++, late, node, run };
    if (!stopped) agenda.add(item);
    return { [Symbol.dispose]: () => void (item.run = undefined) };
  };
  const now = (): number => startMs + Math.floor(nowUs / 1_000);
  const clockOf = (node: string | undefined): Clock => ({
    now,
    after(ms, run) {
      if (ms === Infinity) return { [Symbol.dispose]() {} };
      // Whole milliseconds and at least one, as real timers are: whoever finds himself too early and waits again does not do so for ever.
      return at(nowUs + Math.max(1, Math.ceil(ms || 0)) * 1_000, run, node === undefined ? {} : { node });
    },
  });
  const failAll = (error: unknown): void => {
    for (const fail of [...goals]) fail(error);
  };

  const step = (): boolean => {
    for (;;) {
      const item = agenda.take();
      if (!item) return false;
      if (item.node !== undefined && paused.has(item.node)) {
        held.push(item);
        continue;
      }
      nowUs = item.atUs;
      steps++;
      const run = item.run as () => void;
      item.run = undefined;
      try {
        run();
      } catch (error) {
        failAll(error);
      }
      return true;
    }
  };

  const loop = async (): Promise<void> => {
    looping = true;
    let idleSince: number | undefined;
    while (goals.size > 0 && !stopped) {
      // Two rounds: promises, and what they leave to setImmediate, are through before the next thing happens.
      await turn();
      await turn();
      let noticed = false;
      for (const check of [...watchers]) noticed = check() || noticed;
      if (noticed) continue;
      if (goals.size === 0) break;
      if (steps >= maxSteps) {
        failAll(new BusError("BUS_TIMEOUT", `the simulation took ${maxSteps} steps and did not end: something repeats itself without time passing, or maxSteps is too low`));
        break;
      }
      if (step()) idleSince = undefined;
      else {
        idleSince ??= performance.now();
        if (performance.now() - idleSince > idleMs) {
          failAll(new BusError("BUS_TIMEOUT", `the simulation stands still: nothing is due, and what is waited for did not come within ${idleMs} ms of real time`));
          break;
        }
        await realSleep(1);
      }
    }
    looping = false;
  };

  return {
    clock: clockOf(undefined),
    get nowUs() {
      return nowUs;
    },
    get steps() {
      return steps;
    },
    clockOf,
    at,
    run(work) {
      return new Promise((resolve, reject) => {
        if (stopped) throw new BusError("BUS_CLOSED", "this simulation has ended");
        const fail = (error: unknown): void => {
          goals.delete(fail);
          reject(error);
        };
        goals.add(fail);
        Promise.resolve(typeof work === "function" ? Promise.resolve().then(work) : work).then((value) => {
          goals.delete(fail);
          resolve(value);
        }, fail);
        if (!looping) void loop();
      });
    },
    watch(check) {
      watchers.add(check);
      return { [Symbol.dispose]: () => void watchers.delete(check) };
    },
    isPaused: (node) => paused.has(node),
    pause: (node) => void paused.add(node),
    resume(node) {
      paused.delete(node);
      const waiting = held.filter((item) => item.node === node);
      held = held.filter((item) => item.node !== node);
      for (const item of waiting) if (item.run) agenda.add(Object.assign(item, { atUs: nowUs, order: order++ }));
    },
    stop() {
      stopped = true;
      agenda.clear();
      watchers.clear();
      failAll(new BusError("BUS_CLOSED", "this simulation has ended"));
    },
  };
}
