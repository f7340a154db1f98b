import { randomUUID } from "node:crypto";
import type { Body, Bus } from "@opencf/bus";
import { taskCancel, taskExited, taskFind } from "@opencf/bus/messages";
import { followExecutors, requestOf, sendTask } from "@opencf/dea/bus-link";
import { createPlacer } from "@opencf/dea/placement";
import type { ServedDroplet } from "./droplet.ts";

export interface Job {
  command: string;
  /** Default 128 MB of memory, 256 MB of disk. */
  memoryMb?: number;
  diskMb?: number;
  /** Default 60. */
  timeoutSeconds?: number;
  /** `K=V`. */
  env?: string[];
}

/** How a job ended: state, reason, exit status, the last lines, and which executor had it. */
export type JobResult = Body<typeof taskExited>;

export interface JobRunner extends Disposable {
  /** Runs a command once, somewhere. Waits up to `placeWithinMs` (60 000) for room. @throws Error when it found none, was lost, or called off */
  run(job: Job, options?: { placeWithinMs?: number; signal?: AbortSignal }): Promise<JobResult>;
  /** How many executors can be asked. */
  readonly executors: number;
}

const askAgainMs = 500;
/** An end that nobody heard is asked for. After this many questions without an answer the job is lost. */
const lookMs = 2_000;
const maxSilent = 5;

/** Gives jobs to the executors on a bus. `droplet` is what the commands find around them. */
export function createJobRunner(bus: Bus, droplet: ServedDroplet): JobRunner {
  const placer = createPlacer();
  const following = followExecutors(placer, bus);
  const waiting = new Map<string, (result: JobResult) => void>();
  const hearing = bus.subscribe(taskExited, ({ body }) => waiting.get(body.task_id)?.(body));

  /** Until an executor has it: one without room is no failure, only a reason to ask again. */
  const place = async (task: Parameters<typeof sendTask>[1], placeWithinMs: number, signal: AbortSignal | undefined): Promise<void> => {
    for (const deadline = performance.now() + placeWithinMs; ; await pause(askAgainMs, signal)) {
      const delivery = await placer.deliver(requestOf(task), sendTask(bus, task), { ...(signal && { signal }) });
      if (delivery.state === "accepted" || delivery.state === "unsure") return;
      if (performance.now() > deadline) throw new Error(`no executor takes it: ${delivery.state === "refused" ? delivery.refusal.text : "the bus is away"}`);
    }
  };
  const look = async (id: string): Promise<JobResult | undefined> =>
    (await bus.gather(taskFind, { task_id: id, include_ended: true }, { waitMs: 1_000, max: 1 }).catch(() => []))[0];

  return {
    get executors() {
      return placer.size.hosts;
    },
    async run({ command, memoryMb = 128, diskMb = 256, timeoutSeconds = 60, env = [] }, { placeWithinMs = 60_000, signal } = {}) {
      const id = randomUUID();
      const ended = new Promise<JobResult>((resolve) => waiting.set(id, resolve));
      try {
        await place({ task_id: id, droplet: id, command, executableUri: droplet.url, sha256: droplet.sha256, limits: { mem: memoryMb, disk: diskMb, fds: 1_024 }, timeout: timeoutSeconds, env }, placeWithinMs, signal);
        for (let silent = 0; silent < maxSilent; ) {
          const result = await Promise.race([ended, pause(lookMs, signal)]) ?? await look(id);
          if (result?.ended_at !== undefined) return result;
          silent = result ? 0 : silent + 1;
        }
        throw new Error(`job ${id} is lost: its executor is gone, and nobody else may run it a second time`);
      } catch (error) {
        if (signal?.aborted) bus.publish(taskCancel, { task_id: id });
        throw error;
      } finally {
        waiting.delete(id);
      }
    },
    [Symbol.dispose]() {
      following[Symbol.dispose]();
      hearing[Symbol.dispose]();
    },
  };
}

const pause = (ms: number, signal: AbortSignal | undefined): Promise<undefined> => new Promise((resolve, reject) => {
  const stop = (): void => {
    clearTimeout(timer);
    reject(signal?.reason instanceof Error ? signal.reason : new Error("called off"));
  };
  const timer = setTimeout(() => {
    signal?.removeEventListener("abort", stop);
    resolve(undefined);
  }, ms);
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", stop, { once: true });
});
