import { invalid, positive } from "./invalid.ts";

/** Whether it came up, and whether it lives: failing it is a crash. */
export interface HealthCheckSpec {
  /**
   * `port`: connects; `http`: GET answers 200; `process` and `none`: the process lives; `state-file`: the file named by
   * `path`, relative to the droplet's folder, says `{"state":"RUNNING"}`. Default `port`, or `state-file` where the
   * droplet's `droplet.yaml` names a `state_file`.
   */
  type?: "port" | "http" | "process" | "none" | "state-file";
  /** Path of the http check. Default `/`. */
  path?: string;
  /** Time from the app's first instruction until the check must have passed once. Default 60 000 ms. */
  timeoutMs?: number;
  /** Longest pause between looks while it starts; they begin more often. Default 2 000 ms (Diego's). */
  startupIntervalMs?: number;
  /** Time between looks once it is up. Default 30 000 ms (Diego's). */
  intervalMs?: number;
  /** Time one look may take. Default 1 000 ms (Diego's). */
  invocationTimeoutMs?: number;
}

/** Whether requests should come: failing it takes the routes away and leaves the instance running. */
export interface ReadinessCheckSpec {
  /** `port` and `http` as in the health check; `process`: ready once it is healthy. Default `process`. */
  type?: "port" | "http" | "process";
  /** Path of the http check. Default `/`. */
  path?: string;
  /** Time between looks while it is ready; while it is not, at most 2 000 ms. Default 30 000 ms (Diego's). */
  intervalMs?: number;
  /** Time one look may take. Default 1 000 ms (Diego's). */
  invocationTimeoutMs?: number;
}

/** Fills in the defaults. Throws DEA_INVALID_SPEC. */
export function healthCheckOf(given: HealthCheckSpec, defaultTimeoutMs: number): Required<HealthCheckSpec> {
  const { type = "port", path = type === "state-file" ? "" : "/", timeoutMs = defaultTimeoutMs, startupIntervalMs = 2_000, intervalMs = 30_000, invocationTimeoutMs = 1_000 } = given;
  if (!["port", "http", "process", "none", "state-file"].includes(type)) throw invalid(`no such health check: ${String(type)}`);
  if (type === "state-file" ? path === "" || path.startsWith("/") || path.split("/").includes("..") : !path.startsWith("/")) {
    throw invalid(type === "state-file" ? "the state file must be named by a path within the droplet's folder" : `the health check's path must begin with "/", not ${JSON.stringify(path)}`);
  }
  return {
    type,
    path,
    timeoutMs: positive("healthCheck.timeoutMs", timeoutMs),
    startupIntervalMs: positive("healthCheck.startupIntervalMs", startupIntervalMs),
    intervalMs: positive("healthCheck.intervalMs", intervalMs),
    invocationTimeoutMs: positive("healthCheck.invocationTimeoutMs", invocationTimeoutMs),
  };
}

/** As {@link healthCheckOf}. */
export function readinessCheckOf({ type = "process", path = "/", intervalMs = 30_000, invocationTimeoutMs = 1_000 }: ReadinessCheckSpec): Required<ReadinessCheckSpec> {
  if (!["port", "http", "process"].includes(type)) throw invalid(`no such readiness check: ${String(type)}`);
  if (!path.startsWith("/")) throw invalid(`the readiness check's path must begin with "/", not ${JSON.stringify(path)}`);
  return {
    type,
    path,
    intervalMs: positive("readinessCheck.intervalMs", intervalMs),
    invocationTimeoutMs: positive("readinessCheck.invocationTimeoutMs", invocationTimeoutMs),
  };
}
