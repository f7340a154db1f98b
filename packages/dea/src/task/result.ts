import type { ExitReason, InstanceExit } from "../instance/exit.ts";

/** Why a task ended: as an instance does, or because its time was up, or because somebody wanted it. */
export type TaskReason = Exclude<ExitReason, "stopped"> | "timeout" | "cancelled";

export interface TaskResult {
  id: string;
  /** `SUCCEEDED` only where the command itself ended with status 0. The words are the Cloud Controller's. */
  state: "SUCCEEDED" | "FAILED";
  reason: TaskReason;
  /** One sentence for people. */
  description: string;
  /** Status of the command; 128+N for signal N, -1 when nobody knows. */
  exitCode: number;
  /** Last lines it printed, at most 50. */
  logTail: readonly string[];
  /** Wall time of its first instruction in milliseconds; undefined when it never had one. */
  startedAt: number | undefined;
  /** Wall time in milliseconds. */
  endedAt: number;
  /** From its first instruction to its end; 0 when it never had one. */
  durationMs: number;
}

export type StopCause = "timeout" | "cancelled";

/** What became of a task, from what became of its instance. `cause`: why it was stopped, where it was. */
export function taskResult(id: string, { exit, startedAt, cause, timeoutMs }: { exit: InstanceExit; startedAt: number | undefined; cause: StopCause; timeoutMs: number }): TaskResult {
  const reason: TaskReason = exit.reason === "stopped" ? cause : exit.reason;
  return {
    id,
    state: reason === "exit:0" ? "SUCCEEDED" : "FAILED",
    reason,
    description: descriptionOf(reason, exit, timeoutMs),
    exitCode: exit.status,
    logTail: exit.logTail,
    startedAt,
    endedAt: exit.at,
    durationMs: startedAt === undefined ? 0 : Math.max(0, exit.at - startedAt),
  };
}

function descriptionOf(reason: TaskReason, { description }: InstanceExit, timeoutMs: number): string {
  if (reason === "exit:0") return "completed";
  if (reason === "timeout") return `took longer than ${timeoutMs / 1_000} s`;
  if (reason === "cancelled") return "cancelled";
  if (reason.startsWith("exit:")) return `command ended with status ${reason.slice("exit:".length)}`;
  if (reason.startsWith("signal:")) return `command was ended by ${reason.slice("signal:".length)}`;
  return description;
}
