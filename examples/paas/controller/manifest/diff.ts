import { isDeepStrictEqual } from "node:util";
import { isObject } from "./document.ts";
import { normaliseApplication, type Fields } from "./message.ts";
import { logRateInBytes, sizeInMegabytes, spellBytes } from "./sizes.ts";

/** One line of a manifest diff, in the form of a JSON Patch with the old value beside it. */
export interface DiffLine {
  op: "add" | "remove" | "replace";
  path: string;
  value?: unknown;
  was?: unknown;
}

/** App keys that a diff looks at, spelled with underscores. */
const comparedKeys = new Set([
  "buildpack", "buildpacks", "command", "disk_quota", "docker", "env", "features", "health_check_http_endpoint",
  "health_check_interval", "health_check_invocation_timeout", "health_check_type", "instances", "lifecycle",
  "log_rate_limit_per_second", "memory", "metadata", "name", "no_route", "processes", "readiness_health_check_http_endpoint",
  "readiness_health_check_interval", "readiness_health_check_invocation_timeout", "readiness_health_check_type", "routes",
  "services", "sidecars", "stack", "timeout",
]);
const identities: Readonly<Record<string, string>> = { processes: "type", routes: "route", sidecars: "name" };
/** Maps and lists a manifest adds to: what it does not name stays, so its absence is no difference (unless pruning). */
const additive = new Set(["env", "metadata", "features", "services", "routes", "sidecars", "processes"]);
const elementKeys: Readonly<Record<string, ReadonlySet<string>>> = {
  sidecars: new Set(["name", "command", "process_types", "memory"]),
  processes: new Set([
    "type", "command", "user", "disk_quota", "log_rate_limit_per_second", "health_check_http_endpoint", "health_check_invocation_timeout",
    "health_check_interval", "health_check_type", "readiness_health_check_http_endpoint", "readiness_health_check_invocation_timeout",
    "readiness_health_check_interval", "readiness_health_check_type", "instances", "memory", "timeout",
  ]),
};

export interface DiffOptions {
  /** Show what the app has and the manifest does not name, for an apply that prunes. Default false. */
  prune?: boolean;
}

/**
 * What applying the manifest would change. `existing` gives the generated description of an app of that name, or nothing.
 * Only keys of the request are compared; both spellings of a key and of a size are equal.
 */
export function diffManifest(applications: readonly Fields[], existing: (name: string) => Fields | undefined, { prune = false }: DiffOptions = {}): DiffLine[] {
  return applications.flatMap((application, index) => {
    const found = existing(String(application["name"]));
    const before = found ? withWebProcess(normaliseApplication(found)) : undefined;
    return Object.entries(application).flatMap(([written, value]) => {
      const key = written.replaceAll("-", "_");
      if (!comparedKeys.has(key)) return [];
      const path = `/applications/${index}/${written}`;
      return diffKey({ key, value: spelled(key, value), before: before?.[key], isNew: before === undefined, path, prune });
    });
  });
}

function withWebProcess(app: Fields): Fields {
  const web = (Array.isArray(app["processes"]) ? app["processes"] : []).find((process) => isObject(process) && process["type"] === "web") as Fields | undefined;
  return { ...web, ...app };
}

interface KeyDiff {
  key: string;
  value: unknown;
  before: unknown;
  isNew: boolean;
  path: string;
  prune: boolean;
}

function diffKey({ key, value, before, isNew, path, prune }: KeyDiff): DiffLine[] {
  // A new app gets its sizes from the platform's defaults anyway; the original leaves them out, and so do we.
  if (isNew && (key === "memory" || key === "disk_quota")) return [];
  if (key === "no_route" || key === "lifecycle") return isNew || before === undefined ? [] : compare(before, value, path);
  if (before === undefined) return value === null ? [] : [{ op: "add", path, value }];
  const keep = prune || !additive.has(key);
  const identity = identities[key];
  if (identity && Array.isArray(value) && Array.isArray(before)) return diffByIdentity({ key, identity, before, after: value, path, keep });
  if (key === "services" && Array.isArray(value) && Array.isArray(before)) return diffServices(before, value, path, keep);
  if (key === "metadata" && isObject(value) && isObject(before))
    return Object.entries(value).flatMap(([part, entries]) => diffMap(isObject(before[part]) ? before[part] : {}, isObject(entries) ? entries : {}, `${path}/${part}`, prune));
  if (isObject(value) && isObject(before)) return diffMap(before, value, path, keep);
  if (Array.isArray(value) && Array.isArray(before)) return diffList(before, value, path);
  return compare(before, value, path);
}

function diffByIdentity({ key, identity, before, after, path, keep }: { key: string; identity: string; before: unknown[]; after: unknown[]; path: string; keep: boolean }): DiffLine[] {
  const find = (list: unknown[], id: unknown) => list.find((item): item is Fields => isObject(item) && String(item[identity]).toLowerCase() === String(id).toLowerCase());
  const allowed = elementKeys[key];
  const lines = after.flatMap((item, index): DiffLine[] => {
    if (!isObject(item)) return [];
    const old = find(before, item[identity]);
    const wanted = Object.entries(item).filter(([name]) => !allowed || allowed.has(name.replaceAll("-", "_")));
    if (!old) return [{ op: "add", path: `${path}/${index}`, value: Object.fromEntries(wanted) }];
    const oldFields = normaliseApplication(old);
    return wanted.flatMap(([name, value]) => {
      const field = name.replaceAll("-", "_");
      if (oldFields[field] === undefined) return value === null ? [] : [{ op: "add" as const, path: `${path}/${index}/${name}`, value }];
      return compare(oldFields[field], spelled(field, value), `${path}/${index}/${name}`);
    });
  });
  if (!keep) return lines;
  const gone = before.filter((item) => isObject(item) && !find(after, item[identity]));
  return [...lines, ...gone.map((was, offset): DiffLine => ({ op: "remove", path: `${path}/${after.length + offset}`, was }))];
}

function diffServices(before: unknown[], after: unknown[], path: string, keep: boolean): DiffLine[] {
  const nameOf = (service: unknown): unknown => (isObject(service) ? service["name"] : service);
  const lines = after.flatMap((service, index): DiffLine[] => (before.some((old) => nameOf(old) === nameOf(service)) ? [] : [{ op: "add", path: `${path}/${index}`, value: service }]));
  if (!keep) return lines;
  const gone = before.filter((old) => !after.some((service) => nameOf(service) === nameOf(old)));
  return [...lines, ...gone.map((was, offset): DiffLine => ({ op: "remove", path: `${path}/${after.length + offset}`, was }))];
}

function diffMap(before: Fields, after: Fields, path: string, keep: boolean): DiffLine[] {
  const lines = Object.entries(after).flatMap(([name, value]): DiffLine[] => {
    const at = `${path}/${escapePointer(name)}`;
    if (before[name] === undefined) return value === null ? [] : [{ op: "add", path: at, value }];
    if (value === null) return [{ op: "remove", path: at, was: before[name] }];
    return compare(before[name], typeof before[name] === "string" && typeof value !== "object" ? String(value) : value, at);
  });
  if (!keep) return lines;
  return [...lines, ...Object.keys(before).flatMap((name): DiffLine[] => (name in after ? [] : [{ op: "remove", path: `${path}/${escapePointer(name)}`, was: before[name] }]))];
}

function diffList(before: unknown[], after: unknown[], path: string): DiffLine[] {
  const lines: DiffLine[] = [];
  for (let index = 0; index < Math.max(before.length, after.length); index++) {
    const at = `${path}/${index}`;
    if (index >= after.length) lines.push({ op: "remove", path: at, was: before[index] });
    else if (index >= before.length) lines.push({ op: "add", path: at, value: after[index] });
    else lines.push(...compare(before[index], after[index], at));
  }
  return lines;
}

function compare(before: unknown, after: unknown, path: string): DiffLine[] {
  if (isDeepStrictEqual(before, after)) return [];
  return after === null ? [{ op: "remove", path, was: before }] : [{ op: "replace", path, value: after, was: before }];
}

/** Sizes in the spelling of the generated manifest, so that `1G` and `1024M` are equal; every other value as it is. */
function spelled(key: string, value: unknown): unknown {
  if (key === "memory" || key === "disk_quota") {
    const megabytes = sizeInMegabytes(value);
    return megabytes === undefined ? value : `${megabytes}M`;
  }
  if (key === "log_rate_limit_per_second") {
    const bytes = logRateInBytes(value);
    return bytes === undefined ? value : bytes === -1 ? -1 : spellBytes(bytes);
  }
  if (key === "health_check_type" && value === "none") return "process";
  if (key === "instances" && typeof value === "string" && /^\d+$/.test(value)) return Number(value);
  return value;
}

const escapePointer = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");
