import { randomUUID } from "node:crypto";
import { DeaError } from "../errors.ts";
import type { PlaceSpec } from "../instance/place-spec.ts";
import { type InstanceSpec, instanceSpec, type StartSpec } from "../instance/spec.ts";

/** A command to run once. What is not named here is as in {@link StartSpec}. */
export interface TaskSpec
  extends Pick<
    StartSpec,
    "droplet" | "memoryBytes" | "diskBytes" | "fileDescriptors" | "env" | "graceMs" | "egress" | "appId" | "version" | "application" | "services" | "logSource" | "commandId" | keyof PlaceSpec
  > {
  /** Run by a shell in `app/`, after the droplet's `profile.d`. */
  command: string;
  /** Names the task: the same id again is the same task, and nothing is run twice. Default: random. At most 200 characters. */
  id?: string;
  /** For people. Default `task`. */
  name?: string;
  /** Time from its first instruction to its end; past it the task is stopped. Default 3 600 000 ms, at most 2 147 483 647. */
  timeoutMs?: number;
}

const invalid = (why: string): DeaError => new DeaError("DEA_INVALID_SPEC", why);
const longestMs = 2 ** 31 - 1;

/** The instance that carries a task: no port, no routes, no health but its life. Throws DEA_INVALID_SPEC. */
export function taskInstanceSpec(given: TaskSpec): InstanceSpec & { task: NonNullable<InstanceSpec["task"]> } {
  const { id = randomUUID(), name = "task", timeoutMs = 3_600_000, command, appId = randomUUID(), ...rest } = given;
  if (typeof id !== "string" || id === "" || id.length > 200) throw invalid("the id of a task must have 1 to 200 characters");
  if (typeof command !== "string" || command.trim() === "") throw invalid("a task needs a command");
  if (!Number.isFinite(timeoutMs) || timeoutMs <= 0 || timeoutMs > longestMs) throw invalid(`timeoutMs must be above 0 and at most ${longestMs}, not ${timeoutMs}`);
  const logSource = rest.logSource ?? { sourceId: appId, tags: {} };
  const tags = { source_type: `APP/TASK/${name}`, ...logSource.tags };
  const spec = instanceSpec({ ...rest, appId, name, command, processType: "task", healthCheck: { type: "process" }, logSource: { ...logSource, tags } });
  return { ...spec, task: { id, timeoutMs } };
}
