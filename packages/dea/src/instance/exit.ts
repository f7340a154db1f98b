import { constants as os } from "node:os";
import type { ExitStatus } from "../container/container.ts";
import { DeaError, type DeaErrorCode } from "../errors.ts";

/** A phase of the start that took longer than its deadline. */
type StartTimeout = "queue-timeout" | "create-timeout" | "download-timeout" | "unpack-timeout" | "run-timeout";

/** Why an instance ended. */
export type ExitReason =
  | `exit:${number}`
  | `signal:${string}`
  | StartTimeout
  | "port-timeout"
  | "http-timeout"
  | "state-file-timeout"
  | "liveness"
  | "oom"
  | "disk-quota"
  | "no-command"
  | "no-port"
  | "droplet-missing"
  | "droplet"
  | "start-failed"
  | "stopped"
  | "interrupted"
  | "lost";

/** Reasons by family, for who counts or decides: there are few, and one text says all of it. */
export type ExitKind = "exit" | "signal" | "health-timeout" | "start-timeout" | "liveness" | "oom" | "disk-quota" | "no-command" | "droplet-missing" | "droplet" | "start-failed" | "stopped" | "interrupted" | "lost";

export interface InstanceExit {
  reason: ExitReason;
  /** Family of the reason: `health-timeout` for `port-timeout` and `http-timeout`, `exit` for `exit:N`, ... */
  kind: ExitKind;
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
  /** What of it could not be ended or removed within the deadlines of `kill` and `destroy`. The executor goes on trying. */
  left?: string;
}

interface ReasonRow {
  kind: ExitKind;
  description: string;
  /** How `ready` rejects when this happens before the instance was up. */
  code: DeaErrorCode;
}

const tooSlow: ReasonRow = { kind: "start-timeout", description: "failed to start", code: "DEA_TIMEOUT" };

const reasons: Record<Exclude<ExitReason, `exit:${number}` | `signal:${string}`>, ReasonRow> = {
  "queue-timeout": tooSlow,
  "create-timeout": tooSlow,
  "download-timeout": tooSlow,
  "unpack-timeout": tooSlow,
  "run-timeout": tooSlow,
  "port-timeout": { kind: "health-timeout", description: "failed to accept connections within health check timeout", code: "DEA_HEALTH_TIMEOUT" },
  "http-timeout": { kind: "health-timeout", description: "failed to answer its HTTP health check within health check timeout", code: "DEA_HEALTH_TIMEOUT" },
  "state-file-timeout": { kind: "health-timeout", description: "failed to write RUNNING to its state file within health check timeout", code: "DEA_HEALTH_TIMEOUT" },
  liveness: { kind: "liveness", description: "stopped answering its health check", code: "DEA_EXITED" },
  oom: { kind: "oom", description: "out of memory", code: "DEA_EXITED" },
  "disk-quota": { kind: "disk-quota", description: "disk quota exceeded", code: "DEA_EXITED" },
  "no-command": { kind: "no-command", description: "missing start command", code: "DEA_NO_COMMAND" },
  "no-port": { kind: "start-failed", description: "failed to start", code: "DEA_NO_PORT" },
  "droplet-missing": { kind: "droplet-missing", description: "failed to start", code: "DEA_DROPLET_UNAVAILABLE" },
  droplet: { kind: "droplet", description: "failed to start", code: "DEA_DROPLET_UNSAFE" },
  "start-failed": { kind: "start-failed", description: "failed to start", code: "DEA_START_FAILED" },
  stopped: { kind: "stopped", description: "stopped", code: "DEA_STOPPED" },
  interrupted: { kind: "interrupted", description: "the executor ended before the app was started", code: "DEA_INTERRUPTED" },
  lost: { kind: "lost", description: "app instance exited while nobody was watching", code: "DEA_EXITED" },
};

const row = (reason: ExitReason): ReasonRow =>
  reasons[reason as keyof typeof reasons] ?? { kind: reason.startsWith("signal:") ? "signal" : "exit", description: "app instance exited", code: "DEA_EXITED" };

export const descriptionOf = (reason: ExitReason): string => row(reason).description;
export const kindOf = (reason: ExitReason): ExitKind => row(reason).kind;

/** A reason with its family, where that says more: `health-timeout: port-timeout`. What an exit is called in messages and on the terminal. */
export const reasonText = (reason: ExitReason): string => (reason.startsWith(kindOf(reason)) ? reason : `${kindOf(reason)}: ${reason}`);

/** Reason of a main process that ended by itself. */
export function reasonOfStatus(status: ExitStatus): ExitReason {
  // The kernel killed one of its processes for memory: whatever the main one said then, that is why.
  if (status.outOfMemory && status.code !== 0) return "oom";
  // Where no file may be larger than the disk, this signal says that one wanted to be.
  if (status.signal === "SIGXFSZ") return "disk-quota";
  if (status.signal !== undefined) return `signal:${status.signal}`;
  return status.code === undefined ? "lost" : `exit:${status.code}`;
}

/** The status as a number, as a shell would tell it: 128+N for signal N, -1 when nobody knows. */
export function exitCodeOf(status: ExitStatus): number {
  if (status.code !== undefined) return status.code;
  return status.signal === undefined ? -1 : 128 + (os.signals[status.signal as NodeJS.Signals] ?? 0);
}

export interface ExitFacts {
  status: ExitStatus;
  /** What the start sequence threw, if it did. */
  cause: unknown;
  at: number;
  /** When it became healthy, if it did. */
  upSince: number | undefined;
  logTail: readonly string[];
}

/** The texts of these name the fault already. */
const sayEnough = new Set<ExitReason>(["no-command", "disk-quota"]);

/** The whole report of an end. */
export function exitOf(reason: ExitReason, { status, cause, at, upSince, logTail }: ExitFacts): InstanceExit {
  const { kind, description } = row(reason);
  return {
    reason,
    kind,
    description: cause instanceof DeaError && !sayEnough.has(reason) ? `${description}: ${cause.message}` : description,
    status: exitCodeOf(status),
    at,
    uptimeMs: upSince === undefined ? 0 : Math.max(0, at - upSince),
    logTail,
  };
}

/** The error with which `ready` rejects. Its text carries the reason and the last lines. */
export function exitError(exit: InstanceExit, cause?: unknown): DeaError {
  const code = cause instanceof DeaError ? cause.code : row(exit.reason).code;
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  const tail = exit.logTail.slice(-10).map((line) => `\n  ${line}`).join("");
  return new DeaError(code, `${exit.description} (${reasonText(exit.reason)})${why}${tail}`, {
    cause,
    lines: exit.logTail,
    ...(cause instanceof DeaError && cause.phase !== undefined ? { phase: cause.phase } : {}),
    retryable: cause instanceof DeaError && cause.retryable,
  });
}

const reasonsOfErrors: Partial<Record<DeaErrorCode, ExitReason>> = {
  DEA_NO_COMMAND: "no-command",
  DEA_NO_PORT: "no-port",
  DEA_DROPLET_UNAVAILABLE: "droplet-missing",
  DEA_DROPLET_MISMATCH: "droplet",
  DEA_DROPLET_UNSAFE: "droplet",
  DEA_DROPLET_TOO_LARGE: "disk-quota",
};

/** The reason that fits an error of the start sequence. */
export function reasonOfError(error: unknown): ExitReason {
  if (!(error instanceof DeaError)) return "start-failed";
  if (error.phase !== undefined && Object.hasOwn(reasons, `${error.phase}-timeout`)) return `${error.phase}-timeout` as ExitReason;
  return reasonsOfErrors[error.code] ?? "start-failed";
}

/** The reason when a check of this type did not pass in time. */
export const healthTimeoutOf = (type: "port" | "http" | "process" | "none" | "state-file"): ExitReason =>
  type === "http" ? "http-timeout" : type === "state-file" ? "state-file-timeout" : "port-timeout";
