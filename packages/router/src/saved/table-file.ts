import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { createInterface } from "node:readline";
import { dirname } from "node:path";
import { initOf, type Endpoint, type EndpointInit } from "../endpoint.ts";
import type { RouteOptions } from "../pool.ts";
import type { RouteSnapshot } from "../table/types.ts";

/** One endpoint of one route, as the file has it: a line of JSON each, between a head and a foot. */
export interface SavedEndpoint {
  readonly route: string;
  readonly endpoint: EndpointInit;
  readonly options: RouteOptions;
  /** Milliseconds since the epoch of the last registration. */
  readonly lastSeenMs: number;
}

const format = "opencf-routes";
const version = 1;
/** So many lines are made at a time; requests go between. */
const linesAtATime = 500;
const maxLineBytes = 65_536;

/**
 * Writes the endpoints that whoever registered them keeps alive by repeating themselves; others come back by themselves.
 * The file appears whole or not at all: it is written beside, brought to the disk, and renamed. Gives the number of endpoints.
 */
export async function writeTable(path: string, routes: readonly RouteSnapshot[], nowMs: number): Promise<number> {
  const beside = `${path}.${process.pid}.tmp`;
  let count = 0;
  try {
    const file = await open(beside, "w", 0o600);
    try {
      await file.write(`${JSON.stringify({ format, version, savedAtMs: nowMs })}\n`);
      let lines: string[] = [];
      for (const { route, options, endpoints } of routes) {
        for (const endpoint of endpoints) {
          if (endpoint.staleAfterMs === undefined) continue;
          lines.push(lineOf(route, options, endpoint));
          count += 1;
        }
        if (lines.length < linesAtATime) continue;
        await file.write(`${lines.join("\n")}\n`);
        lines = [];
      }
      lines.push(JSON.stringify({ endpoints: count }));
      await file.write(`${lines.join("\n")}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => undefined);
    throw cause;
  }
  await syncFolder(dirname(path));
  return count;
}

const lineOf = (route: string, options: RouteOptions, endpoint: Endpoint): string =>
  JSON.stringify({ route, endpoint: initOf(endpoint), options, lastSeenMs: endpoint.lastSeenMs } satisfies SavedEndpoint);

/** The new name is on the disk only when its folder is; where a system cannot do that, it does without. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, "r");
    await handle.sync();
  } catch { /* The file itself is whole in either case. */ } finally {
    await handle?.close();
  }
}

/** Why there is nothing to be had from a file, in a word. */
export type Unusable = "missing" | "unreadable" | "damaged" | "too old" | "of another version";

/** Gives each endpoint of the file in turn, in batches. @returns why not, when the file cannot be used; nothing has been given then unless it is `damaged` */
export async function readTable(path: string, { nowMs, maxAgeMs }: { nowMs: number; maxAgeMs: number }, take: (saved: SavedEndpoint) => void): Promise<Unusable | undefined> {
  let file: FileHandle;
  try { file = await open(path, "r"); } catch (cause) { return (cause as NodeJS.ErrnoException).code === "ENOENT" ? "missing" : "unreadable"; }
  let head: { format?: unknown; version?: unknown; savedAtMs?: unknown } | undefined;
  let foot: number | undefined;
  let count = 0;
  try {
    for await (const line of createInterface({ input: file.createReadStream({ encoding: "utf8" }), crlfDelay: Infinity })) {
      const value = recordIn(line);
      if (value === undefined || foot !== undefined) return "damaged";
      if (head === undefined) {
        head = value;
        if (head.format !== format || typeof head.savedAtMs !== "number") return "damaged";
        if (head.version !== version) return "of another version";
        // A clock that was set back must not make a file last for ever.
        if (Math.abs(nowMs - head.savedAtMs) > maxAgeMs) return "too old";
      } else if (typeof value["endpoints"] === "number") foot = value["endpoints"];
      else if (isSaved(value)) {
        take(value);
        count += 1;
      } else return "damaged";
    }
  } catch {
    return "unreadable";
  } finally {
    await file.close().catch(() => undefined);
  }
  return foot === count ? undefined : "damaged";
}

function recordIn(line: string): Record<string, unknown> | undefined {
  if (line.length > maxLineBytes) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined;
  } catch { return undefined; }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

const isSaved = (value: unknown): value is SavedEndpoint =>
  isRecord(value) && typeof value["route"] === "string" && isRecord(value["endpoint"]) && isRecord(value["options"]) && Number.isFinite(value["lastSeenMs"])
  && Number.isFinite(value["endpoint"]["staleAfterMs"]) && Object.entries(value["endpoint"]).every(([name, field]) => isFieldOf(name, field));

const isFieldOf = (name: string, field: unknown): boolean => {
  if (name === "tags") return isRecord(field) && Object.values(field).every((tag) => typeof tag === "string");
  if (name === "modificationTag") return isRecord(field) && typeof field["guid"] === "string" && typeof field["index"] === "number";
  return typeof field === "string" || typeof field === "number" || typeof field === "boolean";
};
