import type { InstanceSpec } from "../instance/spec.ts";
import type { ManagedInstance } from "../instance/instance.ts";
import type { LogLine } from "../instance/log-buffer.ts";
import { type Clock, type Logger } from "../ports.ts";
import { DeaError, textOf } from "../errors.ts";
import type { TaskResult } from "./result.ts";
import { taskInstanceSpec, type TaskSpec } from "./spec.ts";
import { createTask, type ManagedTask, type Task } from "./task.ts";

export interface RunTaskOptions {
  /** Aborting cancels the task: the result comes all the same, with the reason `cancelled`. */
  signal?: AbortSignal;
  /** Called with each line as it comes. One that throws is logged and harms nobody. */
  onLine?: (line: LogLine) => void;
}

/** Commands that run once. */
export interface Tasks {
  /**
   * Accepts a task and begins to start it; of an id that is known already, the task that is there.
   * Throws DEA_INVALID_SPEC, DEA_UNSUPPORTED, DEA_NO_CAPACITY, DEA_CLOSED.
   */
  start(spec: TaskSpec): Task;
  /** As `start`, and waits for the end. A task that failed is a result, no error. */
  run(spec: TaskSpec & RunTaskOptions): Promise<TaskResult>;
  /** Those that are there, and those that have ended: at most 500, for as long as crashes are remembered. Oldest first. */
  list(): Task[];
  get(id: string): Task | undefined;
  /** Calls `listener` at each change of a task's state, the end included. */
  on(listener: (task: Task) => void): Disposable;
}

export interface TaskDesk extends Tasks {
  /** Takes over a task that an earlier executor started. */
  adopt(instance: ManagedInstance): void;
  /** An instance that carries a task has changed its state. */
  moved(instance: { readonly id: string }): void;
}

export interface TaskDeskOptions {
  /** Admits an instance, and begins to start it. Throws where it is refused. */
  admit(spec: InstanceSpec): ManagedInstance;
  /** How long an ended task is remembered. */
  keepMs: number;
  clock: Clock;
  log: Logger;
}

/** At most so many ended tasks are remembered. */
const maxEnded = 500;

export function createTaskDesk({ admit, keepMs, clock, log }: TaskDeskOptions): TaskDesk {
  const tasks = new Map<string, ManagedTask>();
  const byInstance = new Map<string, ManagedTask>();
  const listeners = new Set<(task: Task) => void>();

  const told = (task: Task): void => {
    for (const listener of listeners) guarded(() => listener(task));
  };
  const guarded = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      log.error("task.listener", { error: textOf(error) });
    }
  };
  const forgetOld = (): void => {
    const ended = [...tasks.values()].filter(({ result }) => result !== undefined);
    for (const [at, { id, result }] of ended.entries()) {
      if (at < ended.length - maxEnded || clock.now() - (result?.endedAt ?? 0) > keepMs) tasks.delete(id);
    }
  };
  const take = (instance: ManagedInstance): ManagedTask => {
    forgetOld();
    const task = createTask(instance, clock, told);
    tasks.set(task.id, task);
    byInstance.set(instance.id, task);
    void task.ended.then(() => byInstance.delete(instance.id));
    task.moved();
    return task;
  };

  const desk: TaskDesk = {
    start(given) {
      const spec = taskInstanceSpec(given);
      return tasks.get(spec.task.id) ?? take(admit(spec));
    },
    async run({ signal, onLine, ...spec }) {
      if (signal?.aborted) throw new DeaError("DEA_STOPPED", "the task was cancelled before it was accepted");
      const task = desk.start(spec);
      const cancel = (): void => void task.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      const reading = (async () => {
        if (onLine) for await (const line of task.logs()) guarded(() => onLine(line));
      })();
      try {
        const result = await task.ended;
        await reading;
        return result;
      } finally {
        signal?.removeEventListener("abort", cancel);
      }
    },
    list() {
      forgetOld();
      return [...tasks.values()];
    },
    get: (id) => tasks.get(id),
    on(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    adopt: (instance) => void take(instance),
    moved: ({ id }) => byInstance.get(id)?.moved(),
  };
  return desk;
}
