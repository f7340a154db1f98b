import { randomUUID } from "node:crypto";
import { type EgressRule, parseEgress } from "../container/egress.ts";
import { type DropletSource, dropletSource } from "../droplet/source.ts";
import { type HealthCheckSpec, healthCheckOf, type ReadinessCheckSpec, readinessCheckOf } from "./checks.ts";
import { invalid, positive } from "./invalid.ts";
import { type ContainerPlace, placeOf, type PlaceSpec } from "./place-spec.ts";

export const MiB = 1024 ** 2;

export type { HealthCheckSpec, ReadinessCheckSpec } from "./checks.ts";

/** Stamp put on every log line that leaves the executor. */
export interface LogSource {
  sourceId: string;
  tags: Readonly<Record<string, string>>;
}

/** What to run. Everything but `droplet` has a default. */
export interface StartSpec extends PlaceSpec {
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
  readinessCheck?: ReadinessCheckSpec;
  /** A particular host port. Default: the next free one. */
  port?: number;
  /** Time between TERM and KILL. Default: what the executor gives this process type, else 10 000 ms. */
  graceMs?: number;
  /** When the host runs out of memory or disk, those with the lowest are moved away first. Default 0. */
  priority?: number;
  /** False: nothing is kept of its files when it crashes. Default true. */
  keepCrashFiles?: boolean;
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
  /** Nobody named a type: the droplet may. */
  healthCheckOpen: boolean;
  readinessCheck: Required<ReadinessCheckSpec>;
  port: number | undefined;
  graceMs: number;
  priority: number;
  keepCrashFiles: boolean;
  egress: readonly EgressRule[] | undefined;
  place: ContainerPlace;
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
  /** It runs once: no port, no routes, and its end is no crash. */
  task?: { id: string; timeoutMs: number } | undefined;
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

/** What an executor gives instances that do not say. */
export interface SpecDefaults {
  /** Default 10 000 ms. */
  graceMs?: number;
  /** Grace by process type; goes before `graceMs`. */
  graceMsByType?: Readonly<Record<string, number>>;
  /** Default 60 000 ms. */
  healthTimeoutMs?: number;
}

/** Fills in the defaults. Throws DEA_INVALID_SPEC with what is wrong. */
export function instanceSpec(given: StartSpec, defaults: SpecDefaults = {}): InstanceSpec {
  const { memoryBytes = 512 * MiB, diskBytes = 1024 * MiB, fileDescriptors = 16_384, index = 0 } = given;
  const { appId = randomUUID(), version = "1", name = "app", uris = [], processType = "web", healthCheck = {}, readinessCheck = {} } = given;
  const byType = Object.hasOwn(defaults.graceMsByType ?? {}, processType) ? defaults.graceMsByType?.[processType] : undefined;
  const { graceMs = byType ?? defaults.graceMs ?? 10_000 } = given;
  if (!Number.isInteger(index) || index < 0) throw invalid(`index must be 0 or above, not ${index}`);
  if (given.port !== undefined && !(Number.isInteger(given.port) && given.port > 0 && given.port < 65_536)) throw invalid(`not a port: ${given.port}`);
  const { priority = 0 } = given;
  if (!Number.isFinite(priority)) throw invalid(`priority must be a number, not ${priority}`);
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
    healthCheck: healthCheckOf(healthCheck, defaults.healthTimeoutMs ?? 60_000),
    healthCheckOpen: healthCheck.type === undefined,
    readinessCheck: readinessCheckOf(readinessCheck),
    port: given.port,
    graceMs,
    priority,
    keepCrashFiles: given.keepCrashFiles ?? true,
    egress: given.egress,
    place: placeOf(given),
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
