import type { Body, Bus, Reply } from "@opencf/bus";
import { deaTask, taskCancel, taskExited, taskFind } from "@opencf/bus/messages";
import type { LimitName } from "../container/capabilities.ts";
import { narrows } from "../container/egress.ts";
import type { Dea } from "../dea.ts";
import { DeaError, textOf } from "../errors.ts";
import type { RuntimeOffer } from "../placement/shapes.ts";
import type { Logger } from "../ports.ts";
import type { Task } from "../task/task.ts";
import { demandLimits } from "./requires.ts";
import { taskFacts, type TaskMessage, taskOfMessage } from "./task-message.ts";

export interface TaskLinkOptions {
  /** Name of the executor on the bus. */
  id: string;
  stacks: readonly string[];
  /** Limits that are advertised as kept. */
  enforces: readonly LimitName[];
  /** False while no more work is taken. */
  accepting(): boolean;
  runtimes?: readonly RuntimeOffer[];
  /** Told the `command_id` of each task that is accepted: the next advertisement counts it. */
  counted(commandId: string | undefined): void;
  /** Called when the executor has less room, or more. */
  changed(): void;
  log: Logger;
}

/**
 * Runs the tasks that the bus asks for: `dea.<id>.task` is accepted or refused, `opencf.task.cancel` ends one,
 * `opencf.task.exited` tells each end at least once, `opencf.task.find` answers for what is there and what has ended.
 */
export function linkTasks(dea: Dea, bus: Bus, { id, stacks, enforces, accepting, runtimes, counted, changed, log }: TaskLinkOptions): Disposable {
  const accept = (body: TaskMessage): Reply<typeof deaTask> => {
    try {
      if (!accepting()) throw new DeaError("DEA_CLOSED", "the executor accepts no more instances", { retryable: true });
      demandLimits(body.requires, enforces);
      const { egress, ...spec } = taskOfMessage(body, stacks, runtimes, dea.backend.stacks);
      const kept = dea.backend.capabilities.enforces.egress;
      if (egress && !kept && narrows(egress)) log.warn("command.task.egress", { task: body.task_id, backend: dea.backend.name });
      const task = dea.tasks.start(egress && kept ? { ...spec, egress } : spec);
      counted(body.command_id);
      changed();
      log.info("command.task", { task: task.id, instance: task.instance.id });
      return { accepted: true };
    } catch (error) {
      log.warn("command.task.rejected", { task: body.task_id, reason: textOf(error) });
      return { accepted: false, reason: textOf(error), ...(error instanceof DeaError && { code: error.code }) };
    }
  };
  const say = (body: Body<typeof taskExited>): void => {
    try {
      bus.publish(taskExited, body);
    } catch (error) {
      log.error("bus.publish", { subject: taskExited.subject, error: textOf(error) });
    }
  };
  const tell = (task: Task): void => {
    if (!task.result) return;
    say(taskFacts(id, task));
    changed();
  };

  const parts: Disposable[] = [
    bus.subscribe(deaTask, ({ body, respond }) => void respond(accept(body)), { params: { id } }),
    bus.subscribe(taskCancel, ({ body }) => void dea.tasks.get(body.task_id)?.cancel()),
    bus.subscribe(taskFind, ({ body, respond }) => {
      for (const task of dea.tasks.list()) {
        if (body.task_id !== undefined && body.task_id !== task.id) continue;
        if (body.droplet !== undefined && body.droplet !== task.appId) continue;
        // Who asks for one task by its name wants to know how it ended.
        if (task.result && !body.include_ended && body.task_id === undefined) continue;
        respond(taskFacts(id, task));
      }
    }),
    dea.tasks.on(tell),
  ];
  // What ended while nobody was there to tell it; those that hear it twice know the task by its id.
  dea.tasks.list().forEach(tell);
  return {
    [Symbol.dispose]() {
      for (const part of parts) part[Symbol.dispose]();
    },
  };
}
