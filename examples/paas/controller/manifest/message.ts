import { isObject } from "./document.ts";
import { parseRoute, type ParsedRoute } from "./route.ts";
import { logRateInBytes, sizeInMegabytes } from "./sizes.ts";

/** What a manifest says about one app, read and typed. Absent = not mentioned, `null` = reset to the default. */
export interface AppManifest {
  name: string;
  lifecycle?: { type?: "buildpack" | "docker" | "cnb"; buildpacks?: string[]; stack?: string };
  env?: Record<string, string>;
  features?: Record<string, boolean>;
  metadata?: { labels?: Record<string, string | null>; annotations?: Record<string, string | null> };
  noRoute: boolean;
  randomRoute: boolean;
  defaultRoute: boolean;
  routes?: ManifestRoute[];
  services?: ManifestService[];
  sidecars: ManifestSidecar[];
  processes: ManifestProcess[];
  /** The app's YAML as sent, with the values of secrets hidden: for the audit event and the log. */
  audit: Record<string, unknown>;
}

export interface ManifestRoute extends ParsedRoute {
  protocol?: "http1" | "http2" | "tcp";
  options?: Record<string, unknown>;
}
export interface ManifestService {
  name: string;
  bindingName?: string;
  parameters?: Record<string, unknown>;
}
export interface ManifestSidecar {
  name: string;
  command: string;
  processTypes: string[];
  memoryMb?: number;
}
export interface HealthCheckChange {
  type?: "port" | "process" | "http";
  endpoint?: string | null;
  invocationTimeoutSeconds?: number | null;
  intervalSeconds?: number | null;
}
export interface ManifestProcess {
  type: string;
  command?: string | null;
  user?: string | null;
  timeoutSeconds?: number | null;
  healthCheck: HealthCheckChange;
  readinessHealthCheck: HealthCheckChange;
  instances?: number;
  memoryMb?: number;
  diskMb?: number;
  logRateBytesPerSecond?: number;
}

export type Fields = Record<string, unknown>;

/** Keys of an app, and of its processes, with underscores: both spellings mean the same. The last spelling wins. */
export function normaliseApplication(application: Fields): Fields {
  const fields = underscored(application);
  const processes = fields["processes"];
  if (Array.isArray(processes)) fields["processes"] = processes.map((process) => (isObject(process) ? underscored(process) : process));
  return fields;
}

function underscored(map: Fields): Fields {
  const fields: Fields = Object.create(null) as Fields;
  for (const [key, value] of Object.entries(map)) fields[key.replaceAll("-", "_")] = value;
  return fields;
}

/** Keys by which the app level speaks about its `web` process. */
const processKeys = [
  "command", "instances", "memory", "disk_quota", "log_rate_limit_per_second", "timeout",
  "health_check_type", "health_check_http_endpoint", "health_check_invocation_timeout", "health_check_interval",
  "readiness_health_check_type", "readiness_health_check_http_endpoint", "readiness_health_check_invocation_timeout", "readiness_health_check_interval",
] as const;

/** The process entries an app asks for. A `web` entry in `processes` replaces everything said at the app's level. */
export function processFields(fields: Fields): Fields[] {
  const listed = (Array.isArray(fields["processes"]) ? fields["processes"] : []).filter(isObject);
  const web = listed.find((process) => process["type"] === "web");
  const others = listed.filter((process) => process["type"] !== "web");
  if (web) return [web, ...others];
  const fromApp: Fields = {};
  for (const key of processKeys) if (key in fields) fromApp[key] = fields[key];
  return Object.keys(fromApp).length === 0 ? others : [{ ...fromApp, type: "web" }, ...others];
}

/** Reads an app's fields that {@link validateApplication} found in order. */
export function readApplication(fields: Fields, original: Fields): AppManifest {
  const lifecycle = readLifecycle(fields);
  const metadata = fields["metadata"];
  return {
    name: String(fields["name"]),
    ...(lifecycle ? { lifecycle } : {}),
    ...(isObject(fields["env"]) ? { env: Object.fromEntries(Object.entries(fields["env"]).map(([key, value]) => [key, environmentText(value)])) } : {}),
    ...(isObject(fields["features"]) ? { features: fields["features"] as Record<string, boolean> } : {}),
    ...(isObject(metadata) ? { metadata: metadata as NonNullable<AppManifest["metadata"]> } : {}),
    noRoute: fields["no_route"] === true,
    randomRoute: fields["random_route"] === true,
    defaultRoute: fields["default_route"] === true,
    ...(Array.isArray(fields["routes"]) ? { routes: fields["routes"].map((route) => readRoute(route as Fields)) } : {}),
    ...(Array.isArray(fields["services"]) ? { services: fields["services"].map(readService) } : {}),
    sidecars: (Array.isArray(fields["sidecars"]) ? fields["sidecars"] : []).filter(isObject).map(readSidecar),
    processes: processFields(fields).map(readProcess),
    audit: { ...original, ...hidden(original) },
  };
}

function hidden(original: Fields): Fields {
  const secrets: Fields = {};
  for (const key of ["env", "cnb-credentials", "cnb_credentials"]) if (original[key]) secrets[key] = "[PRIVATE DATA HIDDEN]";
  return secrets;
}

/** An environment variable's text. Lists and maps become JSON, `null` the empty text. */
export function environmentText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function readLifecycle(fields: Fields): AppManifest["lifecycle"] {
  const type = fields["lifecycle"] === "cnb" || fields["lifecycle"] === "buildpack" ? fields["lifecycle"] : "docker" in fields ? "docker" : undefined;
  if (type === "docker") return { type };
  const one = fields["buildpack"];
  const buildpacks = "buildpacks" in fields
    ? ((fields["buildpacks"] as string[] | null) ?? [])
    : "buildpack" in fields
      ? one === null || one === "default" || one === "null" ? [] : [String(one)]
      : undefined;
  const stack = typeof fields["stack"] === "string" ? fields["stack"] : undefined;
  if (type === undefined && buildpacks === undefined && stack === undefined) return undefined;
  return { ...(type ? { type } : {}), ...(buildpacks ? { buildpacks } : {}), ...(stack === undefined ? {} : { stack }) };
}

function readRoute(route: Fields): ManifestRoute {
  const parsed = parseRoute(route["route"])!;
  return {
    ...parsed,
    ...(route["protocol"] ? { protocol: route["protocol"] as "http1" } : {}),
    ...(isObject(route["options"]) ? { options: route["options"] } : {}),
  };
}

function readService(service: unknown): ManifestService {
  if (typeof service === "string") return { name: service };
  const { name, binding_name: bindingName, parameters } = service as Fields;
  return {
    name: String(name),
    ...(typeof bindingName === "string" ? { bindingName } : {}),
    ...(isObject(parameters) ? { parameters } : {}),
  };
}

function readSidecar(sidecar: Fields): ManifestSidecar {
  const memoryMb = sizeInMegabytes(sidecar["memory"]);
  return {
    name: String(sidecar["name"]),
    command: String(sidecar["command"]),
    processTypes: (sidecar["process_types"] as unknown[]).map(String),
    ...(memoryMb === undefined ? {} : { memoryMb }),
  };
}

function readProcess(fields: Fields): ManifestProcess {
  const numberOrNull = (key: string): number | null => (fields[key] === null ? null : Number(fields[key]));
  const check = (prefix: "" | "readiness_"): HealthCheckChange => {
    const key = (name: string) => `${prefix}health_check_${name}`;
    const type = fields[key("type")];
    return {
      ...(key("type") in fields ? { type: (type === "none" ? "process" : type) as "port" } : {}),
      ...(key("http_endpoint") in fields ? { endpoint: fields[key("http_endpoint")] as string | null } : {}),
      ...(key("invocation_timeout") in fields ? { invocationTimeoutSeconds: numberOrNull(key("invocation_timeout")) } : {}),
      ...(key("interval") in fields ? { intervalSeconds: numberOrNull(key("interval")) } : {}),
    };
  };
  const memoryMb = sizeInMegabytes(fields["memory"]);
  const diskMb = sizeInMegabytes(fields["disk_quota"]);
  const logRate = logRateInBytes(fields["log_rate_limit_per_second"]);
  const command = fields["command"];
  return {
    type: String(fields["type"]),
    // `null` and the text "null" or "default" both go back to the command the droplet brings.
    ...("command" in fields ? { command: command === null || command === "null" || command === "default" ? null : String(command) } : {}),
    ...("user" in fields ? { user: fields["user"] as string | null } : {}),
    ...("timeout" in fields ? { timeoutSeconds: numberOrNull("timeout") } : {}),
    healthCheck: check(""),
    readinessHealthCheck: check("readiness_"),
    ...(fields["instances"] === undefined || fields["instances"] === null ? {} : { instances: Number(fields["instances"]) }),
    ...(memoryMb === undefined ? {} : { memoryMb }),
    ...(diskMb === undefined ? {} : { diskMb }),
    ...(logRate === undefined ? {} : { logRateBytesPerSecond: logRate }),
  };
}
