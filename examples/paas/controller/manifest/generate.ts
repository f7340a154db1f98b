import { stringify } from "yaml";
import { spellBytes } from "./sizes.ts";

/** All that a generated manifest tells of an app. */
export interface AppDescription {
  name: string;
  lifecycle: { type: "buildpack" | "docker" | "cnb"; buildpacks: string[]; stack: string | null };
  env: Record<string, string>;
  features: Record<string, boolean>;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  serviceNames: string[];
  routes: { route: string; protocol: string; options?: Record<string, unknown> | null }[];
  processes: ProcessDescription[];
  sidecars: { name: string; command: string; processTypes: string[]; memoryMb: number | null }[];
}

export interface ProcessDescription {
  type: string;
  instances: number;
  memoryMb: number;
  diskMb: number;
  logRateBytesPerSecond: number;
  command: string | null;
  user: string | null;
  timeoutSeconds: number | null;
  healthCheck: { type: string; endpoint: string | null; invocationTimeoutSeconds: number | null; intervalSeconds: number | null };
  readinessHealthCheck: { type: string; endpoint: string | null; invocationTimeoutSeconds: number | null; intervalSeconds: number | null };
}

type Plain = Record<string, unknown>;

/** The app as an entry of `applications`: what is empty is left out, lists come in a stable order. */
export function describeApplication(app: AppDescription): Plain {
  const byName = (a: string, b: string) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1);
  return present({
    name: app.name,
    env: filled(app.env),
    lifecycle: app.lifecycle.type,
    buildpacks: app.lifecycle.type === "docker" ? undefined : filledList(app.lifecycle.buildpacks),
    stack: app.lifecycle.type === "docker" ? undefined : app.lifecycle.stack,
    features: app.features,
    services: filledList([...app.serviceNames].sort(byName)),
    routes: filledList([...app.routes].sort((a, b) => byName(a.route, b.route)).map(({ route, protocol, options }) => present({ route, protocol, options: filled(options ?? {}) }))),
    metadata: filled(present({ labels: filled(app.labels), annotations: filled(app.annotations) })),
    processes: filledList([...app.processes].sort((a, b) => byName(a.type, b.type)).map(describeProcess)),
    sidecars: filledList([...app.sidecars].sort((a, b) => byName(a.name, b.name)).map((sidecar) =>
      present({ name: sidecar.name, process_types: sidecar.processTypes, command: sidecar.command, memory: sidecar.memoryMb === null ? undefined : `${sidecar.memoryMb}M` }))),
  });
}

function describeProcess(process: ProcessDescription): Plain {
  const { healthCheck: health, readinessHealthCheck: readiness } = process;
  return present({
    type: process.type,
    instances: process.instances,
    memory: `${process.memoryMb}M`,
    disk_quota: `${process.diskMb}M`,
    "log-rate-limit-per-second": process.logRateBytesPerSecond === -1 ? -1 : spellBytes(process.logRateBytesPerSecond),
    command: process.command,
    user: process.user,
    "health-check-type": health.type,
    "health-check-http-endpoint": health.endpoint,
    "health-check-invocation-timeout": health.invocationTimeoutSeconds,
    "health-check-interval": health.intervalSeconds,
    "readiness-health-check-type": readiness.type,
    "readiness-health-check-http-endpoint": readiness.endpoint,
    "readiness-health-check-invocation-timeout": readiness.invocationTimeoutSeconds,
    "readiness-health-check-interval": readiness.intervalSeconds,
    timeout: process.timeoutSeconds,
  });
}

/** The whole document, as `cf create-app-manifest` stores it. */
export function manifestYaml(applications: Plain[]): string {
  return stringify({ applications }, { lineWidth: 0, aliasDuplicateObjects: false, directives: true });
}

/** A YAML text of any value, for log lines and audit events. */
export function yamlOf(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function present(map: Record<string, unknown>): Plain {
  return Object.fromEntries(Object.entries(map).filter(([, value]) => value !== undefined && value !== null));
}
const filled = (map: Plain): Plain | undefined => (Object.keys(map).length === 0 ? undefined : map);
const filledList = <T>(list: T[]): T[] | undefined => (list.length === 0 ? undefined : list);
