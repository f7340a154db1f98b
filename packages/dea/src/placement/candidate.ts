import { DeaError } from "../errors.ts";
import type { PlacementHost, Room } from "./shapes.ts";

/** A host made ready for choosing: plain numbers, no look-ups. */
export interface Candidate {
  readonly id: string;
  /** Breaks ties together with the app's. */
  readonly hash: number;
  /** Zero where the host does not tell its size. */
  readonly memorySize: number;
  readonly diskSize: number;
  freeMemory: number;
  /** Infinity where not told. */
  freeDisk: number;
  freeInstances: number;
  /** Scratch: instances here of the app whose host is being chosen. */
  count: number;
}

/** FNV-1a over UTF-16 units: spreads ties, hides nothing. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** @throws DeaError DEA_INVALID_HOST where a number of the host cannot be meant */
export function candidateOf(host: PlacementHost): Candidate {
  const memory = amountOf(host, "memory", host.memory);
  const disk = host.disk && amountOf(host, "disk", host.disk);
  return {
    id: host.id,
    hash: hashOf(host.id),
    memorySize: memory.size,
    diskSize: disk?.size ?? 0,
    freeMemory: memory.free,
    freeDisk: disk?.free ?? Infinity,
    freeInstances: host.freeInstances === undefined ? Infinity : finite(host, "freeInstances", host.freeInstances),
    count: 0,
  };
}

/** Instances of one app. What a host says is foreign data: an app may be called `constructor`. */
export const countOf = ({ instances }: PlacementHost, app: string): number =>
  instances !== undefined && Object.hasOwn(instances, app) && isCount(instances[app]) ? instances[app] : 0;

export const isCount = (value: number | undefined): value is number => Number.isFinite(value) && Number(value) > 0;

function amountOf(host: PlacementHost, what: string, room: Room): { free: number; size: number } {
  if ("freeBytes" in room) {
    const free = finite(host, `${what}.freeBytes`, room.freeBytes);
    const told = room.totalBytes === undefined ? 0 : positive(host, `${what}.totalBytes`, room.totalBytes);
    return { free, size: told === 0 ? 0 : Math.max(told, free) };
  }
  const { overcommit = 1 } = room;
  const size = positive(host, `${what}.totalBytes`, room.totalBytes) * positive(host, `${what}.overcommit`, overcommit);
  return { free: size - positive(host, `${what}.reservedBytes`, room.reservedBytes), size };
}

function finite({ id }: PlacementHost, field: string, value: number): number {
  if (!Number.isFinite(value)) throw new DeaError("DEA_INVALID_HOST", `host ${id}: ${field} is ${value}, which is no amount`);
  return value;
}

function positive(host: PlacementHost, field: string, value: number): number {
  if (finite(host, field, value) < 0) throw new DeaError("DEA_INVALID_HOST", `host ${host.id}: ${field} is ${value}, less than nothing`);
  return value;
}
