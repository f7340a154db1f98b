import { isIP } from "node:net";
import { type Isolation, isolations } from "../container/isolation.ts";
import type { HealthCheckSpec } from "../instance/spec.ts";

/** The user asked for something that cannot be meant: exit code 2. */
export class UsageError extends Error {}

const units: Readonly<Record<string, number>> = { "": 1, B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** `128M`, `2G`, `1.5GB`, `1048576` to bytes. */
export function parseBytes(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([BKMGT]?)(?:i?B)?$/i.exec(text.trim());
  const bytes = match ? Number(match[1]) * (units[(match[2] ?? "").toUpperCase()] ?? Number.NaN) : Number.NaN;
  if (!(bytes > 0)) throw new UsageError(`--${option} must be a size such as 128M, not ${JSON.stringify(text)}`);
  return Math.floor(bytes);
}

export function parseSeconds(text: string, option: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !Number.isFinite(seconds) || seconds < 0) throw new UsageError(`--${option} must be a number of seconds, not ${JSON.stringify(text)}`);
  return seconds * 1000;
}

export function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new UsageError(`--port must be between 1 and 65535, not ${JSON.stringify(text)}`);
  return port;
}

export function parseHost(text: string): string {
  if (isIP(text) === 0) throw new UsageError(`--host must be an IP address, not ${JSON.stringify(text)}`);
  return text;
}

/** `port`, `process`, `none`, `http`, `http:/path` */
export function parseHealth(text: string): HealthCheckSpec {
  if (text === "port" || text === "process" || text === "none" || text === "http") return { type: text };
  if (text.startsWith("http:/")) return { type: "http", path: text.slice("http:".length) };
  throw new UsageError(`--health must be port, http:/path, process or none, not ${JSON.stringify(text)}`);
}

export function parsePairs(pairs: readonly string[]): string[] {
  for (const pair of pairs) if (pair.indexOf("=") < 1) throw new UsageError(`--env must be NAME=VALUE, not ${JSON.stringify(pair)}`);
  return [...pairs];
}

/** Names of places to run; `auto` is `linux` where it works, else `process`. */
export type BackendName = "process" | "linux" | "auto";

export function parseBackend(name: string): BackendName {
  if (name === "process" || name === "linux" || name === "auto") return name;
  throw new UsageError(`--backend must be process, linux or auto, not ${JSON.stringify(name)}`);
}

export function parseIsolate(name: string): Isolation {
  const found = isolations.find((one) => one === name);
  if (found === undefined) throw new UsageError(`--isolate must be ${isolations.slice(0, -1).join(", ")} or ${isolations.at(-1)}, not ${JSON.stringify(name)}`);
  return found;
}

/** A whole number from `least` up. */
export function parseCount(text: string, option: string, least = 1): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < least) throw new UsageError(`--${option} must be a whole number from ${least}, not ${JSON.stringify(text)}`);
  return count;
}

/** `1.5`: how much of what is there may be promised. */
export function parseFactor(text: string, option: string): number {
  const factor = Number(text);
  if (text.trim() === "" || !Number.isFinite(factor) || factor <= 0 || factor > 1_000) throw new UsageError(`--${option} must be a factor such as 1.5, not ${JSON.stringify(text)}`);
  return factor;
}

/** `a,b` and options given several times are one list. */
export const parseList = (texts: readonly string[]): string[] => texts.flatMap((text) => text.split(",")).map((text) => text.trim()).filter((text) => text !== "");

/** `61001-65000` */
export function parsePorts(text: string): { first: number; last: number } {
  const [, first, last] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (!(range.first >= 1 && range.first <= range.last && range.last <= 65_535)) throw new UsageError(`--ports must be a range such as 61001-65000, not ${JSON.stringify(text)}`);
  return range;
}

/** `cflinuxfs4` or `cflinuxfs4=/path/to/its/root`. */
export function parseStacks(texts: readonly string[]): { name: string; root?: string }[] {
  return parseList(texts).map((text) => {
    const [, name = "", root] = /^([^=]+)(?:=(.+))?$/.exec(text) ?? [];
    if (name === "" || (root !== undefined && !root.startsWith("/"))) throw new UsageError(`--stacks must be names, or name=/folder, not ${JSON.stringify(text)}`);
    return root === undefined ? { name } : { name, root };
  });
}
