import { constants as os } from "node:os";
import type { ExitStatus } from "../container/container.ts";
import { DeaError, type DeaErrorCode } from "../errors.ts";

/** Why an instance ended. */
export type ExitReason =
  | `exit:${number}`
  | `signal:${string}`
  | "port-timeout"
  | "http-timeout"
  | "liveness"
  | "oom"
  | "disk-quota"
  | "no-command"
  | "no-port"
  | "droplet"
  | "start-failed"
  | "stopped"
  | "lost";

export interface InstanceExit {
  reason: ExitReason;
  /** One sentence for the app's owner. */
  description: string;
  /** Status of the main process; 128+N for signal N, -1 when unknown. */
  status: number;
  /** Wall time in milliseconds. */
  at: number;
  /** How long it was up, in milliseconds; 0 when it never was. */
  uptimeMs: number;
  /** Last lines it printed, at most 50. */
  logTail: readonly string[];
}

interface ReasonRow {
  description: string;
  /** How `ready` rejects when this happens before the instance was up. */
  code: DeaErrorCode;
}

const reasons: Record<Exclude<ExitReason, `exit:${number}` | `signal:${string}`>, ReasonRow> = {
  "port-timeout": { description: "failed to accept connections within health check timeout", code: "DEA_HEALTH_TIMEOUT" },
  "http-timeout": { description: "failed to answer its HTTP health check within health check timeout", code: "DEA_HEALTH_TIMEOUT" },
  liveness: { description: "stopped answering its health check", code: "DEA_EXITED" },
  oom: { description: "out of memory", code: "DEA_EXITED" },
  "disk-quota": { description: "disk quota exceeded", code: "DEA_EXITED" },
  "no-command": { description: "missing start command", code: "DEA_NO_COMMAND" },
  "no-port": { description: "failed to start", code: "DEA_NO_PORT" },
  droplet: { description: "failed to start", code: "DEA_DROPLET_UNAVAILABLE" },
  "start-failed": { description: "failed to start", code: "DEA_START_FAILED" },
  stopped: { description: "stopped", code: "DEA_STOPPED" },
  lost: { description: "app instance exited while nobody was watching", code: "DEA_EXITED" },
};

const row = (reason: ExitReason): ReasonRow =>
  reasons[reason as keyof typeof reasons] ?? { description: "app instance exited", code: "DEA_EXITED" };

export const descriptionOf = (reason: ExitReason): string => row(reason).description;

/** Reason of a main process that ended by itself. */
export function reasonOfStatus(status: ExitStatus): ExitReason {
  // The kernel killed one of its processes for memory: whatever the main one said then, that is why.
  if (status.outOfMemory && status.code !== 0) return "oom";
  if (status.signal !== undefined) return `signal:${status.signal}`;
  return status.code === undefined ? "lost" : `exit:${status.code}`;
}

/** The status as a number, as a shell would tell it: 128+N for signal N, -1 when nobody knows. */
export function exitCodeOf(status: ExitStatus): number {
  if (status.code !== undefined) return status.code;
  return status.signal === undefined ? -1 : 128 + (os.signals[status.signal as NodeJS.Signals] ?? 0);
}

/** The error with which `ready` rejects. Its text carries the reason and the last lines. */
export function exitError(exit: InstanceExit, cause?: unknown): DeaError {
  const code = cause instanceof DeaError ? cause.code : row(exit.reason).code;
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  const tail = exit.logTail.slice(-10).map((line) => `\n  ${line}`).join("");
  return new DeaError(code, `${exit.description} (${exit.reason})${why}${tail}`, {
    cause,
    lines: exit.logTail,
    retryable: cause instanceof DeaError && cause.retryable,
  });
}

/** The reason that fits an error of the start sequence. */
export function reasonOfError(error: unknown): ExitReason {
  if (!(error instanceof DeaError)) return "start-failed";
  if (error.code === "DEA_NO_COMMAND") return "no-command";
  if (error.code === "DEA_NO_PORT") return "no-port";
  if (error.code === "DEA_DROPLET_TOO_LARGE") return "disk-quota";
  return error.code.startsWith("DEA_DROPLET_") ? "droplet" : "start-failed";
}
