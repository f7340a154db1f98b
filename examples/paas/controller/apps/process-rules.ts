import { randomUUID } from "node:crypto";
import type { Insertable } from "kysely";
import type { AppLimits } from "./app-limits.ts";
import { checkBody, isPlain } from "../api/checks.ts";
import { isUriPath } from "../manifest/validate.ts";
import type { ProcessesTable } from "../data/schema.ts";

/** A fresh process of an app with the platform's defaults. The web process of an app has the app's own guid. */
export function newProcess(app: { guid: string }, type: string, limits: AppLimits, { guid }: { guid?: string } = {}): Insertable<ProcessesTable> {
  return {
    guid: guid ?? (type === "web" ? app.guid : randomUUID()),
    app_guid: app.guid,
    type,
    version: randomUUID(),
    instances: type === "web" ? 1 : 0,
    memory_in_mb: limits.defaultMemoryMb,
    disk_in_mb: limits.defaultDiskMb,
    log_rate_limit_in_bytes_per_second: limits.defaultLogRateBytesPerSecond,
    health_check_type: type === "web" ? "port" : "process",
  };
}

export interface ScaleChange {
  instances?: number;
  memory_in_mb?: number;
  disk_in_mb?: number;
  log_rate_limit_in_bytes_per_second?: number;
}

const largestBig = Number.MAX_SAFE_INTEGER;

/** Reads the body of a scale action; numbers that are null or absent change nothing. */
export function readScale(body: unknown): { change: ScaleChange; problems: string[] } {
  const checks = checkBody(body, ["instances", "memory_in_mb", "disk_in_mb", "log_rate_limit_in_bytes_per_second"]);
  const instances = checks.integer("instances", { min: 0 });
  const memory = checks.integer("memory_in_mb", { min: 1 });
  const disk = checks.integer("disk_in_mb", { min: 1 });
  const logRate = checks.integer("log_rate_limit_in_bytes_per_second", { min: -1, max: largestBig });
  return {
    change: {
      ...(typeof instances === "number" && { instances }),
      ...(typeof memory === "number" && { memory_in_mb: memory }),
      ...(typeof disk === "number" && { disk_in_mb: disk }),
      ...(typeof logRate === "number" && { log_rate_limit_in_bytes_per_second: logRate }),
    },
    problems: checks.problems,
  };
}

/** The text for a disk that no machine gives, or `undefined`. */
export function diskProblem(diskMb: number | undefined, { maxDiskMb }: AppLimits): string | undefined {
  return diskMb !== undefined && diskMb > maxDiskMb ? `disk_quota too much disk requested (requested ${diskMb} MB - must be less than ${maxDiskMb} MB)` : undefined;
}

export interface HealthCheckPatch {
  type?: "port" | "process" | "http";
  endpoint?: string | null;
  timeout?: number | null;
  invocationTimeout?: number | null;
  interval?: number | null;
}
export interface ProcessPatch {
  command?: string | null;
  user?: string | null;
  healthCheck: HealthCheckPatch;
  readinessHealthCheck: HealthCheckPatch;
}

/** Reads the body of `PATCH /v3/processes/:guid` (metadata is read elsewhere). */
export function readProcessPatch(body: unknown): { patch: ProcessPatch; problems: string[] } {
  const checks = checkBody(body, ["command", "user", "health_check", "readiness_health_check", "metadata"]);
  const command = checks.text("command", { min: 1, max: 4096, nullable: true });
  const user = checks.text("user", { min: 1, max: 255, nullable: true });
  const health = checks.object("health_check");
  const readiness = checks.object("readiness_health_check");
  const patch: ProcessPatch = {
    ...(command !== undefined && { command }),
    ...(user !== undefined && { user }),
    healthCheck: readHealthCheck(health, "Health check", ["timeout", "invocation_timeout", "interval", "endpoint"], checks.problems),
    readinessHealthCheck: readHealthCheck(readiness, "Readiness health check", ["invocation_timeout", "interval", "endpoint"], checks.problems),
  };
  return { patch, problems: checks.problems };
}

function readHealthCheck(check: Record<string, unknown> | undefined, label: string, allowed: readonly string[], problems: string[]): HealthCheckPatch {
  if (!check) return {};
  const patch: HealthCheckPatch = {};
  if ("type" in check) {
    if (check["type"] === "port" || check["type"] === "process" || check["type"] === "http") patch.type = check["type"];
    else problems.push(`${label} type must be "port", "process", or "http"`);
  }
  const data = isPlain(check["data"]) ? check["data"] : {};
  const checks = checkBody(data, allowed);
  const number = (key: string) => checks.integer(key, { label: `${label} ${key.replaceAll("_", " ")}`, min: 1 });
  const timeout = number("timeout");
  const invocationTimeout = number("invocation_timeout");
  const interval = number("interval");
  if (timeout !== undefined) patch.timeout = timeout;
  if (invocationTimeout !== undefined) patch.invocationTimeout = invocationTimeout;
  if (interval !== undefined) patch.interval = interval;
  const { endpoint } = data;
  if (endpoint === null || isUriPath(endpoint)) patch.endpoint = endpoint;
  else if (endpoint !== undefined) problems.push(`${label} endpoint must be a valid URI path`);
  problems.push(...checks.problems);
  return patch;
}

/** Columns that a patch of a process sets. An HTTP endpoint goes away with the type it belongs to. */
export function processColumns({ command, user, healthCheck: health, readinessHealthCheck: ready }: ProcessPatch): Partial<Insertable<ProcessesTable>> {
  return {
    ...(command !== undefined && { command }),
    ...(user !== undefined && { run_as: user }),
    ...(health.type !== undefined && { health_check_type: health.type }),
    ...(health.type !== undefined && health.type !== "http" ? { health_check_http_endpoint: null } : health.endpoint !== undefined && { health_check_http_endpoint: health.endpoint }),
    ...(health.timeout !== undefined && { health_check_timeout: health.timeout }),
    ...(health.invocationTimeout !== undefined && { health_check_invocation_timeout: health.invocationTimeout }),
    ...(health.interval !== undefined && { health_check_interval: health.interval }),
    ...(ready.type !== undefined && { readiness_health_check_type: ready.type }),
    ...(ready.type !== undefined && ready.type !== "http" ? { readiness_health_check_http_endpoint: null } : ready.endpoint !== undefined && { readiness_health_check_http_endpoint: ready.endpoint }),
    ...(ready.invocationTimeout !== undefined && { readiness_health_check_invocation_timeout: ready.invocationTimeout }),
    ...(ready.interval !== undefined && { readiness_health_check_interval: ready.interval }),
  };
}
