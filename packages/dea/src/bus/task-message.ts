import type { Body } from "@opencf/bus";
import type { deaTask, taskExited } from "@opencf/bus/messages";
import { DeaError } from "../errors.ts";
import type { RuntimeOffer } from "../placement/shapes.ts";
import type { TaskSpec } from "../task/spec.ts";
import type { Task } from "../task/task.ts";
import { specOfMessage } from "./start-message.ts";

export type TaskMessage = Body<typeof deaTask>;

/** What a `dea.<id>.task` asks for, read as a start message is. Throws DEA_INVALID_SPEC. */
export function taskOfMessage(body: TaskMessage, stacks: readonly string[], runtimes?: readonly RuntimeOffer[], roots: readonly string[] = []): TaskSpec {
  const { task_id: id, command, timeout, name } = body;
  if (timeout !== undefined && !(timeout > 0)) throw new DeaError("DEA_INVALID_SPEC", `timeout must be above 0 seconds, not ${timeout}`);
  const start = specOfMessage({ ...body, index: 0, version: body.version ?? "1", name: name ?? "task", start_command: command }, stacks, runtimes, roots);
  const { droplet, memoryBytes, diskBytes, fileDescriptors, env, appId, version, application, services, egress, commandId, stack } = start;
  const spec = { id, command, droplet, memoryBytes, diskBytes, fileDescriptors, env, appId, version, application, services, egress, commandId, stack };
  return {
    ...(Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined)) as unknown as TaskSpec),
    ...(name === undefined ? {} : { name }),
    ...(timeout === undefined ? {} : { timeoutMs: timeout * 1_000 }),
    ...(body.log_source ? { logSource: { sourceId: body.log_source.source_id, tags: body.log_source.tags ?? {} } } : {}),
  };
}

/** A task as `opencf.task.exited` and `opencf.task.find` tell it. */
export function taskFacts(dea: string, task: Task): Body<typeof taskExited> {
  const { id, name, appId, state, result } = task;
  const started = result?.startedAt ?? (state === "RUNNING" ? task.instance.startedAt : undefined);
  return {
    dea,
    task_id: id,
    droplet: appId,
    name,
    state,
    ...(started === undefined ? {} : { started_at: started / 1_000 }),
    ...(result && {
      reason: result.reason,
      description: result.description,
      exit_status: result.exitCode,
      ended_at: result.endedAt / 1_000,
      duration_ms: result.durationMs,
      log_tail: [...result.logTail],
    }),
  };
}
