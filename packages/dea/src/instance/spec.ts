import { randomUUID } from "node:crypto";
import { type EgressRule, parseEgress } from "../container/egress.ts";
import { type DropletSource, dropletSource } from "../droplet/source.ts";
import { DeaError } from "../errors.ts";

export const MiB = 1024 ** 2;

export interface HealthCheckSpec {
  /** `port`: connects; `http`: GET answers 200; `process` and `none`: the process lives. Default `port`. */
  type?: "port" | "http" | "process" | "none";
  /** Path of the http check. Default `/`. */
  path?: string;
  /** Time from the first instruction until the check must have passed once. Default 60 000 ms. */
  timeoutMs?: number;
  /** Time between checks once it is up. Default 30 000 ms. */
  intervalMs?: number;
  /** Time one check may take. Default 1 000 ms. */
  invocationTimeoutMs?: number;
}

/** Stamp put on every log line that leaves the executor. */
export interface LogSource {
  sourceId: string;
  tags: Readonly<Record<string, string>>;
}

/** What to run. Everything but `droplet` has a default. */
export interface StartSpec {
  /** Path or http(s) URL of the droplet, or both with its digests. */
  droplet: string | DropletSource;
  /** Start command, run by a shell in `app/`. Default: the droplet's own (`staging_info.yml`). */
  command?: string;
  /** Default 512 MiB. */
  memoryBytes?: number;
  /** Default 1 GiB. */
  diskBytes?: number;
  /** Open files per process. Default 16 384, or what the host allows. */
  fileDescriptors?: number;
  /** User's variables. They win over the system's, as in Cloud Foundry. */
  env?: Readonly<Record<string, string>> | readonly string[];
  healthCheck?: HealthCheckSpec;
  /** A particular host port. Default: the next free one. */
  port?: number;
  /** Time between TERM and KILL. Default 10 000 ms. */
  graceMs?: number;
  /** What it may reach, as a security group says it. Default: what the backend says. Needs `enforces.egress`. */
  egress?: readonly EgressRule[];

  /** App guid. Default: random. */
  appId?: string;
  /** Generation of the app: what must change for its instances to be replaced. Default `"1"`. */
  version?: string;
  /** Default 0. */
  index?: number;
  name?: string;
  /** Hosts (and paths) under which a router shall reach it. Default none. */
  uris?: readonly string[];
  /** Default `web`. */
  processType?: string;
  processGuid?: string;
  /** Base of VCAP_APPLICATION; what the executor knows better is added. */
  application?: Readonly<Record<string, unknown>>;
  /** VCAP_SERVICES by label, or a flat list of bindings with `label`. */
  services?: Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[];
  logSource?: LogSource;
  /** Tags of the route registration. */
  routeTags?: Readonly<Record<string, string>>;
  /** Id of the command that asked for this, so that a repeated command starts nothing twice. */
  commandId?: string;
  /** Partition of the controller, returned in heartbeats. */
  partition?: string;
}

/** A {@link StartSpec} with nothing left open. */
export interface InstanceSpec {
  droplet: DropletSource;
  command: string | undefined;
  memoryBytes: number;
  diskBytes: number;
  fileDescriptors: number;
  env: readonly (readonly [string, string])[];
  healthCheck: Required<HealthCheckSpec>;
  port: number | undefined;
  graceMs: number;
  egress: readonly EgressRule[] | undefined;
  appId: string;
  version: string;
  index: number;
  name: string;
  uris: readonly string[];
  processType: string;
  processGuid: string;
  application: Readonly<Record<string, unknown>>;
  services: Readonly<Record<string, unknown>>;
  logSource: LogSource;
  routeTags: Readonly<Record<string, string>>;
  commandId: string | undefined;
  partition: string | undefined;
}

const invalid = (why: string): DeaError => new DeaError("DEA_INVALID_SPEC", why);

function positive(name: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0) throw invalid(`${name} must be above 0, not ${value}`);
  return value;
}

/** `NAME=value` texts or an object, to pairs; later pairs win. Names and values cannot hold a NUL: the kernel's limit. */
export function environmentPairs(env: StartSpec["env"] = []): (readonly [string, string])[] {
  const pairs = Array.isArray(env)
    ? (env as readonly string[]).map((pair): readonly [string, string] => {
        const equals = pair.indexOf("=");
        return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      })
    : Object.entries(env as Record<string, string>);
  for (const [name, value] of pairs) {
    if (name === "" || name.includes("=") || name.includes("\0")) throw invalid(`not a variable name: ${JSON.stringify(name)}`);
    if (typeof value !== "string" || value.includes("\0")) throw invalid(`the value of ${name} must be text without NUL`);
  }
  return pairs;
}

/** A flat list of bindings to VCAP_SERVICES: by label, each with the fields Cloud Foundry gives, and only where there is a value. */
export function servicesByLabel(services: StartSpec["services"] = {}): Readonly<Record<string, unknown>> {
  if (!Array.isArray(services)) return services as Record<string, unknown>;
  const byLabel: Record<string, unknown[]> = {};
  const kept = ["name", "label", "tags", "plan", "plan_option", "credentials", "syslog_drain_url",
    "provider", "instance_name", "instance_guid", "binding_name", "binding_guid", "volume_mounts"];
  for (const binding of services as readonly Readonly<Record<string, unknown>>[]) {
    const label = typeof binding["label"] === "string" ? binding["label"] : "user-provided";
    const entry = Object.fromEntries(kept.filter((key) => binding[key] !== undefined && binding[key] !== null).map((key) => [key, binding[key]]));
    (byLabel[label] ??= []).push(entry);
  }
  return byLabel;
}

/** Fills in the defaults. Throws DEA_INVALID_SPEC with what is wrong. */
export function instanceSpec(given: StartSpec): InstanceSpec {
  const { memoryBytes = 512 * MiB, diskBytes = 1024 * MiB, fileDescriptors = 16_384, graceMs = 10_000, index = 0 } = given;
  const { appId = randomUUID(), version = "1", name = "app", uris = [], processType = "web", healthCheck = {} } = given;
  const { type = "port", path = "/", timeoutMs = 60_000, intervalMs = 30_000, invocationTimeoutMs = 1_000 } = healthCheck;
  if (!["port", "http", "process", "none"].includes(type)) throw invalid(`no such health check: ${String(type)}`);
  if (!path.startsWith("/")) throw invalid(`the health check's path must begin with "/", not ${JSON.stringify(path)}`);
  if (!Number.isInteger(index) || index < 0) throw invalid(`index must be 0 or above, not ${index}`);
  if (given.port !== undefined && !(Number.isInteger(given.port) && given.port > 0 && given.port < 65_536)) throw invalid(`not a port: ${given.port}`);
  if (!Number.isFinite(graceMs) || graceMs < 0) throw invalid(`graceMs must be 0 or above, not ${graceMs}`);
  parseEgress(given.egress ?? []);
  if (given.command?.includes("\0")) throw invalid("the command holds a NUL");
  return {
    droplet: dropletSource(given.droplet),
    command: given.command?.trim() ? given.command : undefined,
    memoryBytes: positive("memoryBytes", memoryBytes),
    diskBytes: positive("diskBytes", diskBytes),
    fileDescriptors: positive("fileDescriptors", fileDescriptors),
    env: environmentPairs(given.env),
    healthCheck: {
      type,
      path,
      timeoutMs: positive("healthCheck.timeoutMs", timeoutMs),
      intervalMs: positive("healthCheck.intervalMs", intervalMs),
      invocationTimeoutMs: positive("healthCheck.invocationTimeoutMs", invocationTimeoutMs),
    },
    port: given.port,
    graceMs,
    egress: given.egress,
    appId,
    version,
    index,
    name,
    uris: [...uris],
    processType,
    processGuid: given.processGuid ?? appId,
    application: given.application ?? {},
    services: servicesByLabel(given.services),
    logSource: given.logSource ?? { sourceId: appId, tags: {} },
    routeTags: given.routeTags ?? {},
    commandId: given.commandId,
    partition: given.partition,
  };
}
