import type { Instance, ManagedInstance } from "../instance/instance.ts";
import type { LogLine, ReadOptions } from "../instance/log-buffer.ts";
import type { Clock } from "../ports.ts";
import { type StopCause, type TaskResult, taskResult } from "./result.ts";

/** Words of the Cloud Controller. `PENDING`: not yet at its first instruction. */
export type TaskState = "PENDING" | "RUNNING" | "CANCELING" | TaskResult["state"];

/** A command that runs once. It is never started again, needs no port, and leaves nothing behind but its result. */
export interface Task {
  readonly id: string;
  readonly appId: string;
  readonly name: string;
  readonly state: TaskState;
  /** The instance that carries it: `exec`, `metrics`, files. It is in no list of instances. */
  readonly instance: Instance;
  readonly result: TaskResult | undefined;
  /** Settles when it has ended and nothing of it is left but this; never rejects. */
  readonly ended: Promise<TaskResult>;
  /** What it printed, then what it prints, until it ended or the signal aborts. */
  logs(options?: ReadOptions): AsyncGenerator<LogLine, void, undefined>;
  /** TERM, then KILL after `graceMs` (default: the task's). Idempotent; settles as `ended` does. */
  cancel(options?: { graceMs?: number }): Promise<TaskResult>;
}

export interface ManagedTask extends Task {
  /** Its instance has changed its state. */
  moved(): void;
}

/** The task that an instance carries. `told` is called at each change of the task's state, the end included. */
export function createTask(instance: ManagedInstance, clock: Clock, told: (task: Task) => void): ManagedTask {
  const { id, timeoutMs } = instance.spec.task ?? { id: instance.id, timeoutMs: Number.POSITIVE_INFINITY };
  const { appId, name } = instance.spec;
  let cause: StopCause = "cancelled";
  let result: TaskResult | undefined;
  let runsSince: number | undefined;
  let timer: Disposable | undefined;
  let said: TaskState = "PENDING";

  const stateNow = (): TaskState => {
    if (result) return result.state;
    if (instance.exit ?? instance.state === "STOPPING") return "CANCELING";
    return instance.state === "RUNNING" || instance.state === "EVACUATING" ? "RUNNING" : "PENDING";
  };
  const tell = (): void => {
    const state = stateNow();
    if (state === said) return;
    said = state;
    told(task);
  };

  const ended = instance.exited.then((exit) => {
    timer?.[Symbol.dispose]();
    result = taskResult(id, { exit, startedAt: instance.startedAt, cause, timeoutMs });
    tell();
    return result;
  });

  const task: ManagedTask = {
    id,
    appId,
    name,
    instance,
    get state() { return stateNow(); },
    get result() { return result; },
    ended,
    logs: (options) => instance.logs(options),
    cancel(options = {}) {
      void instance.stop(options);
      return ended;
    },
    moved() {
      if (runsSince === undefined && (instance.state === "RUNNING" || instance.state === "EVACUATING")) {
        runsSince = instance.stateSince;
        timer = clock.after(Math.max(0, runsSince + timeoutMs - clock.now()), () => {
          if (stateNow() !== "RUNNING") return;
          cause = "timeout";
          void instance.stop();
        });
      }
      // The result comes when nothing of it is left; until then an instance that has ended is no news.
      if (!instance.exit) tell();
    },
  };
  return task;
}
