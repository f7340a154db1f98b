import { type InstanceExit, reasonText } from "./exit.ts";
import type { InstanceSpec } from "./spec.ts";

/** The last line of an instance's log, in the executor's words. A task that ends did what it was asked for: no crash. */
export function endWords({ task }: Pick<InstanceSpec, "task">, { reason, description }: Pick<InstanceExit, "reason" | "description">): string {
  if (task) return reason === "stopped" ? "Task stopped" : reason.startsWith("exit:") ? `Task ended: ${reason}` : `Task ended: ${description} (${reason})`;
  return reason === "stopped" ? "Instance stopped" : `Instance crashed: ${description} (${reasonText(reason)})`;
}
