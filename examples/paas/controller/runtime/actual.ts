import type { Bus } from "@opencf/bus";
import { deaAdvertise, deaHeartbeat, deaShutdown, dropletExited } from "@opencf/bus/messages";
import type { ActualInstance, InstanceState } from "./runtime.ts";

/** An executor or stager is gone when it has said nothing for this long: three advertisements. */
export const presenceTtlMs = 15_000;

export interface SeenInstance extends ActualInstance {
  readonly droplet: string;
}

/** What runs where, from heartbeats alone; nothing of it is stored. */
export interface Actual extends Disposable {
  /** Every instance of living executors, newest news first overruling older ones. */
  all(): SeenInstance[];
  of(droplet: string): SeenInstance[];
  /** Milliseconds since the epoch of the first heartbeat heard; undefined before. */
  readonly heardAtMs: number | undefined;
  onChange(listen: () => void): Disposable;
}

interface Executor {
  seenAtMs: number;
  instances: SeenInstance[];
}

export function createActual(bus: Bus, { now = Date.now }: { now?: () => number } = {}): Actual {
  const executors = new Map<string, Executor>();
  const listeners = new Set<() => void>();
  let heardAtMs: number | undefined;
  const changed = (): void => listeners.forEach((listen) => listen());
  const seen = (id: string): Executor => {
    let executor = executors.get(id);
    if (!executor) executors.set(id, (executor = { seenAtMs: 0, instances: [] }));
    executor.seenAtMs = now();
    return executor;
  };

  const subscriptions = [
    bus.subscribe(deaHeartbeat, ({ body }) => {
      heardAtMs ??= now();
      seen(body.dea).instances = body.droplets.map((entry) => ({
        droplet: String(entry.droplet),
        version: entry.version,
        index: entry.index,
        instanceGuid: entry.instance,
        state: shown(entry.state),
        sinceSeconds: entry.state_timestamp,
        deaId: body.dea,
        ...(entry.host !== undefined && { host: entry.host }),
        ...(entry.port !== undefined && { port: entry.port }),
        ...(entry.details !== undefined && { details: entry.details }),
        ...(entry.routable !== undefined && { routable: entry.routable }),
      }));
      changed();
    }),
    bus.subscribe(deaAdvertise, ({ body }) => {
      if (executors.has(body.id)) seen(body.id);
    }),
    bus.subscribe(dropletExited, ({ body }) => {
      // News that is faster than the next heartbeat.
      const crashed = body.reason === "CRASHED";
      for (const executor of executors.values())
        executor.instances = executor.instances.flatMap((each) =>
          each.instanceGuid !== body.instance ? [each]
          : !crashed ? []
          : [{ ...each, state: "CRASHED" as const, sinceSeconds: body.crash_timestamp ?? now() / 1_000,
              ...(body.exit_description !== undefined && { details: body.exit_description }) }]);
      changed();
    }),
    bus.subscribe(deaShutdown, ({ body }) => {
      const executor = executors.get(body.id);
      if (executor && executor.instances.length === 0) executors.delete(body.id);
    }),
  ];

  const living = (): Executor[] => {
    // While the bus is away silence says nothing about executors.
    if (bus.connected) for (const [id, { seenAtMs }] of executors) if (now() - seenAtMs > presenceTtlMs) executors.delete(id);
    return [...executors.values()];
  };
  // Coming back to a bus that was away counts as fresh news from everybody, for one more term.
  const back = bus.onStatus((status) => {
    if (status === "connected") for (const executor of executors.values()) executor.seenAtMs = now();
  });

  return {
    all: () => living().flatMap(({ instances }) => instances),
    of: (droplet) => living().flatMap(({ instances }) => instances.filter((each) => each.droplet === droplet)),
    get heardAtMs() {
      return heardAtMs;
    },
    onChange(listen) {
      const own = (): void => listen();
      listeners.add(own);
      return { [Symbol.dispose]: () => void listeners.delete(own) };
    },
    [Symbol.dispose]() {
      back[Symbol.dispose]();
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
    },
  };
}

const states: Readonly<Record<string, InstanceState>> = {
  BORN: "STARTING", STARTING: "STARTING", RESUMING: "STARTING", RUNNING: "RUNNING", EVACUATING: "RUNNING", CRASHED: "CRASHED", STOPPING: "STOPPING", STOPPED: "DOWN",
};
const shown = (state: string): InstanceState => states[state] ?? "DOWN";
