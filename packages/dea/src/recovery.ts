import type { Backend } from "./container/container.ts";
import { textOf } from "./errors.ts";
import type { Instance, ManagedInstance } from "./instance/instance.ts";
import { type InstanceSpec, instanceSpec } from "./instance/spec.ts";
import { facts } from "./instance/state.ts";
import type { InstanceRecord } from "./journal/record.ts";
import { type Clock, type Logger, sleep } from "./ports.ts";

/** What a restart found. */
export interface Resumed {
  adopted: readonly Instance[];
  /** Ended while no executor was there. */
  exited: readonly Instance[];
  /** Handles of containers nobody knew: killed and removed. */
  removed: readonly string[];
}

export interface RecoveryInput {
  backend: Backend;
  /** What the journal tells, oldest first. */
  found: readonly InstanceRecord[];
  instances: Map<string, ManagedInstance>;
  make(record: InstanceRecord, spec: InstanceSpec): ManagedInstance;
  onResume: "adopt" | "stop";
  clock: Clock;
  log: Logger;
}

/** Pause before what could not be removed at the start is tried again; it grows. */
const sweepAgainMs = { first: 5_000, longest: 60_000 };

/** Instances that are taken over at the same time. */
const atOnce = 8;

/** A container of which the next step is known: taken over. Everything else is half made or half gone, and removed. */
const stands = ({ container, state }: InstanceRecord): boolean => container !== undefined && !facts[state].final;

/**
 * Takes over what an earlier executor left, and removes what it half made. Nothing of it can keep the executor from
 * starting: what cannot be removed is said and tried again. Disposing ends these attempts.
 */
export async function recover(input: RecoveryInput): Promise<{ resumed: Resumed } & Disposable> {
  const { backend, found, instances, make, onResume, clock, log } = input;
  const known = new Set(found.map(({ id }) => id));
  // First: what left no record may hold ports and memory.
  const swept = await sweepOnce(backend, new Set(found.filter(stands).map(({ id }) => id)), log);
  const removed = swept.removed.filter((handle) => !known.has(handle));
  for (const handle of removed) log.warn("resume.removed", { instance: handle });

  const endedBefore = new Set<string>();
  for (const record of found) {
    instances.set(record.id, make(record, specOf(record)));
    if (facts[record.state].final) endedBefore.add(record.id);
  }
  const waiting = found.values();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const record of waiting) await instances.get(record.id)?.resume(record).catch((error: unknown) => log.error("resume.instance", { instance: record.id, error: textOf(error) }));
  }));
  const all = [...instances.values()];
  // Long enough for the word of an app that ends just now to arrive.
  await Promise.race([Promise.allSettled(all.map((instance) => instance.exited)), sleep(clock, all.length > 0 ? 100 : 0)]);
  const exited = all.filter((instance) => instance.exit && !endedBefore.has(instance.id));
  const adopted = all.filter((instance) => !instance.exit);
  if (onResume === "stop") await Promise.allSettled(adopted.map((instance) => instance.stop()));
  if (all.length > 0 || removed.length > 0) log.info("dea.resumed", { adopted: adopted.length, exited: exited.length, removed: removed.length });

  const over = new AbortController();
  if (!swept.complete) void sweepUntilDone(input, over.signal);
  return { resumed: { adopted: onResume === "stop" ? [] : adopted, exited, removed }, [Symbol.dispose]: () => over.abort() };
}

async function sweepOnce(backend: Backend, keep: ReadonlySet<string>, log: Logger): Promise<{ removed: string[]; complete: boolean }> {
  try {
    return { removed: await backend.sweep(keep), complete: true };
  } catch (error) {
    log.error("resume.sweep", { error: textOf(error) });
    return { removed: [], complete: false };
  }
}

async function sweepUntilDone({ backend, instances, clock, log }: RecoveryInput, signal: AbortSignal): Promise<void> {
  for (let pauseMs = sweepAgainMs.first; ; pauseMs = Math.min(pauseMs * 2, sweepAgainMs.longest)) {
    await sleep(clock, pauseMs, signal);
    if (signal.aborted || (await sweepOnce(backend, new PresentNow(instances), log)).complete) return;
  }
}

/** Handles of what is here at the moment of the question: what is begun during a sweep is none of its business. */
class PresentNow extends Set<string> {
  readonly #instances: ReadonlyMap<string, ManagedInstance>;
  constructor(instances: ReadonlyMap<string, ManagedInstance>) {
    super();
    this.#instances = instances;
  }
  override has(handle: string): boolean {
    return this.#instances.get(handle)?.present ?? false;
  }
}

/** What an older executor did not write down has its default; the secrets are there where the journal is encrypted. */
function specOf({ spec, secret }: InstanceRecord): InstanceSpec {
  const defaults = instanceSpec({ droplet: "/" });
  return { ...defaults, ...spec, ...(secret ?? { env: [], services: {}, application: {}, droplet: { path: "" }, command: undefined }) };
}
