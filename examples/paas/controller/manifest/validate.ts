import { isObject } from "./document.ts";
import { processFields, type Fields } from "./message.ts";
import { parseRoute } from "./route.ts";
import { logRateInBytes, sizeInMegabytes, sizeProblem } from "./sizes.ts";
import { environmentNameProblem } from "../environment/env.ts";

/** Which optional parts of the manifest language are on. */
export interface ManifestRules {
  docker?: boolean;
  cnb?: boolean;
  hashBasedRouting?: boolean;
  /** Names of app features that exist. */
  features: readonly string[];
}

const maxInteger = 2 ** 31 - 1;

/** Everything that is wrong with one app of a manifest, in the words of the Cloud Controller; empty when it may be applied. */
export function validateApplication(fields: Fields, rules: ManifestRules): string[] {
  const problems: string[] = [];
  const add = (...texts: (string | undefined)[]): void => {
    for (const text of texts) if (text !== undefined) problems.push(text);
  };
  const name = fields["name"];
  if (name === undefined || name === null || name === "") add("Name must not be empty");
  if (name !== undefined && name !== null && typeof name !== "string") add("Name must be a string");
  add(...sizes(fields, "web"));
  if ("processes" in fields) add(...processList(fields["processes"]));
  if ("sidecars" in fields) add(...sidecars(fields["sidecars"]));
  for (const process of processFields(fields)) add(...processTexts(process));
  add(...lifecycle(fields, rules));
  if (isObject(fields["metadata"]) || "metadata" in fields) add(...metadata(fields["metadata"]));
  if ("services" in fields) add(...services(fields["services"]));
  if ("env" in fields) add(...environment(fields["env"]));
  add(...routing(fields, rules));
  if ("features" in fields) add(...features(fields["features"], rules));
  return problems;
}

function sizes(fields: Fields, type: unknown): string[] {
  return [
    sizeProblem(fields["memory"], "Memory"),
    sizeProblem(fields["disk_quota"], "Disk quota"),
    sizeProblem(fields["log_rate_limit_per_second"], "Log rate limit per second", { unlimited: true }),
  ].flatMap((text) => (text === undefined ? [] : [`Process "${String(type)}": ${text}`]));
}

function processList(processes: unknown): string[] {
  if (!Array.isArray(processes) || !processes.every(isObject)) return ["Processes must be an array of process configurations"];
  const texts: string[] = [];
  if (processes.some(({ type }) => type === undefined || type === null || type === "")) texts.push("All Processes must specify a type");
  const seen = new Map<unknown, number>();
  for (const { type } of processes) seen.set(type, (seen.get(type) ?? 0) + 1);
  for (const [type, count] of seen) if (count > 1) texts.push(`Process "${String(type ?? "")}" may only be present once`);
  return [...texts, ...processes.flatMap((process) => sizes(process, process["type"] ?? ""))];
}

function processTexts(process: Fields): string[] {
  const texts: string[] = [];
  const integer = (key: string, label: string, minimum: number, maximum = maxInteger): void => {
    const value = process[key];
    if (value === undefined || value === null) return;
    const number = typeof value === "string" && /^[+-]?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value;
    if (typeof number !== "number") texts.push(`${label} is not a number`);
    else if (!Number.isInteger(number)) texts.push(`${label} must be an integer`);
    else if (number < minimum) texts.push(`${label} must be greater than or equal to ${minimum}`);
    else if (number > maximum) texts.push(`${label} must be less than or equal to ${maximum}`);
  };
  integer("instances", "Instances", 0, 2_000_000);
  for (const [key, label] of [["memory", "Memory"], ["disk_quota", "Disk quota"]] as const) {
    const megabytes = sizeInMegabytes(process[key]);
    if (megabytes !== undefined && (megabytes <= 0 || megabytes > maxInteger)) texts.push(`${label} must be greater than 0MB`);
  }
  const rate = logRateInBytes(process["log_rate_limit_per_second"]);
  if (rate !== undefined && (rate < -1 || !Number.isSafeInteger(rate))) texts.push("Log rate limit must be an integer greater than or equal to -1");
  if ("command" in process && process["command"] !== null) texts.push(...text(process["command"], "Command", 4096));
  if ("user" in process && process["user"] !== null) texts.push(...text(process["user"], "User", 255));
  for (const prefix of ["", "readiness_"]) {
    const label = prefix === "" ? "Health check" : "Readiness health check";
    const type = process[`${prefix}health_check_type`];
    const endpoint = process[`${prefix}health_check_http_endpoint`];
    const typed = `${prefix}health_check_type` in process;
    if (typed && `${prefix}health_check_http_endpoint` in process && type !== "http") texts.push(`${label} type must be "http" to set a health check HTTP endpoint`);
    if (typed && !["port", "process", "http", "none"].includes(String(type))) texts.push(`${label} type must be "port", "process", or "http"`);
    if (endpoint !== undefined && endpoint !== null && !isUriPath(endpoint)) texts.push(`${label} http endpoint must be a valid URI path`);
    integer(`${prefix}health_check_invocation_timeout`, `${label} invocation timeout`, 1);
    integer(`${prefix}health_check_interval`, `${label} interval`, 1);
  }
  integer("timeout", "Timeout", 1);
  return texts.map((line) => `Process "${String(process["type"] ?? "")}": ${line}`);
}

function text(value: unknown, label: string, longest: number): string[] {
  if (typeof value !== "string") return [`${label} must be a string`];
  return value.length < 1 || value.length > longest ? [`${label} must be between 1 and ${longest} characters`] : [];
}

/** A path as a health check may call it: starts with a slash, has no blanks, at most 255 characters. */
export function isUriPath(value: unknown): value is string {
  return typeof value === "string" && value.length <= 255 && /^\/[^\s#\\]*$/.test(value);
}

function sidecars(list: unknown): string[] {
  if (!Array.isArray(list) || !list.every(isObject)) return ["Sidecars must be an array of sidecar configurations"];
  return list.flatMap((sidecar) => {
    const texts: string[] = [];
    for (const [key, label] of [["name", "Name"], ["command", "Command"]] as const) {
      const value = sidecar[key];
      if (value === undefined || value === null || value === "") texts.push(`${label} can't be blank`);
      if (typeof value !== "string") texts.push(`${label} must be a string`);
    }
    const types = sidecar["process_types"];
    if (!Array.isArray(types)) texts.push("Process types must be an array");
    if (!Array.isArray(types) || types.length === 0) texts.push("Process types must have at least 1 process_type");
    const memory = sidecar["memory"];
    if (memory !== undefined && memory !== null) {
      const megabytes = sizeInMegabytes(memory);
      if (megabytes === undefined) texts.push("Memory in mb is not a number");
      else if (megabytes <= 0) texts.push("Memory in mb must be greater than 0");
    }
    const name = sidecar["name"];
    return texts.map((line) => `Sidecar ${typeof name === "string" && name !== "" ? `"${name}": ${line}` : line.toLowerCase()}`);
  });
}

function lifecycle(fields: Fields, rules: ManifestRules): string[] {
  const texts: string[] = [];
  const { buildpacks, buildpack, stack } = fields;
  if ("stack" in fields && stack !== null) texts.push(...text(stack, "Stack", 4096));
  if ("buildpacks" in fields && buildpacks !== null) {
    if (!Array.isArray(buildpacks)) texts.push("Buildpacks must be an array");
    else {
      if (buildpacks.some((entry) => typeof entry !== "string")) texts.push("Buildpacks can only contain strings");
      if (buildpacks.some((entry) => typeof entry === "string" && (entry.trim() === "" || entry.length > 4096))) texts.push("Buildpacks entries must be between 1 and 4096 characters");
    }
  }
  if ("buildpack" in fields && buildpack !== null) texts.push(...text(buildpack, "Buildpack", 4096));
  if ("buildpack" in fields && "buildpacks" in fields) texts.push("Buildpack and Buildpacks fields cannot be used together.");
  if ("docker" in fields && !rules.docker) texts.push("Feature Disabled: diego_docker");
  if (fields["lifecycle"] === "cnb" && !rules.cnb) texts.push("Feature Disabled: diego_cnb");
  if ("docker" in fields && ("buildpack" in fields || "buildpacks" in fields)) texts.push("Cannot specify both buildpack(s) and docker keys");
  return texts;
}

function metadata(value: unknown): string[] {
  if (!isObject(value)) return ["Metadata must be an object"];
  return ["labels", "annotations"].flatMap((key) => (key in value && !isObject(value[key]) ? [`Metadata '${key}' is not an object`] : []));
}

function services(list: unknown): string[] {
  const valid = (service: unknown): boolean => {
    if (typeof service === "string") return true;
    if (!isObject(service) || typeof service["name"] !== "string") return false;
    if (!Object.keys(service).every((key) => ["name", "parameters", "binding_name"].includes(key))) return false;
    if ("parameters" in service && !isObject(service["parameters"])) return false;
    return !("binding_name" in service) || typeof service["binding_name"] === "string";
  };
  return Array.isArray(list) && list.every(valid) ? [] : ["Services must be a list of service instances"];
}

function environment(env: unknown): string[] {
  if (!isObject(env)) return ["Env must be an object of keys and values"];
  return Object.keys(env).flatMap((name) => {
    const problem = environmentNameProblem(name);
    return problem === undefined ? [] : [`Env ${problem}`];
  });
}

function routing(fields: Fields, rules: ManifestRules): string[] {
  const texts = "routes" in fields ? routeList(fields["routes"], rules) : [];
  for (const [key, label] of [["no_route", "No-route"], ["default_route", "Default-route"], ["random_route", "Random-route"]] as const) {
    const value = fields[key];
    if (value !== undefined && value !== null && typeof value !== "boolean") texts.push(`${label} must be a boolean`);
  }
  if (fields["random_route"] && fields["default_route"]) texts.push("Random-route and default-route may not be used together");
  return texts;
}

function routeList(routes: unknown, rules: ManifestRules): string[] {
  if (!Array.isArray(routes) || !routes.every((route) => isObject(route) && Boolean(route["route"]))) return ["Routes must be a list of route objects"];
  const algorithms = ["round-robin", "least-connection", ...(rules.hashBasedRouting ? ["hash"] : [])];
  const known = ["loadbalancing", ...(rules.hashBasedRouting ? ["hash_header", "hash_balance"] : [])];
  const texts: string[] = [];
  for (const { route } of routes as Fields[]) if (!parseRoute(route)) texts.push(`The route '${String(route)}' is not a properly formed URL`);
  for (const { protocol } of routes as Fields[])
    if (protocol !== undefined && protocol !== null && !["http1", "http2", "tcp"].includes(String(protocol))) texts.push("Route protocol must be 'http1', 'http2' or 'tcp'.");
  for (const entry of routes as Fields[]) {
    if (!("options" in entry)) continue;
    const name = String(entry["route"]);
    const { options } = entry;
    if (!isObject(options)) {
      texts.push(`Route '${name}': options must be an object`);
      continue;
    }
    for (const key of Object.keys(options)) if (!known.includes(key)) texts.push(`Route '${name}' contains invalid route option '${key}'. Valid keys: '${known.join(", ")}'`);
    const { loadbalancing } = options;
    if (!("loadbalancing" in options)) continue;
    if (typeof loadbalancing !== "string") texts.push(`Invalid value for 'loadbalancing' for Route '${name}'; Valid values are: '${algorithms.join(", ")}'`);
    else if (!algorithms.includes(loadbalancing)) texts.push(`Cannot use loadbalancing value '${loadbalancing}' for Route '${name}'; Valid values are: '${algorithms.join(", ")}'`);
  }
  return texts;
}

function features(value: unknown, rules: ManifestRules): string[] {
  const valid = isObject(value) && Object.keys(value).length > 0 && Object.entries(value).every(([name, enabled]) => rules.features.includes(name) && typeof enabled === "boolean");
  return valid ? [] : ["Features must be a map of valid feature names to booleans (true = enabled, false = disabled)"];
}
