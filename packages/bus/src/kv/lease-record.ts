import type { Entry } from "./port.ts";

/** What the key of a lease says. */
export interface LeaseRecord {
  /** Name of the leader, for people. */
  readonly holder: string;
  /** One for every lease object, so that a leader knows its own writes even if their answer was lost. */
  readonly instance: string;
  readonly ttlMs: number;
}

/** A leader may not ask the others to wait for longer. */
const maxTtlMs = 86_400_000;

export const writeLease = (record: LeaseRecord): string => JSON.stringify(record);

/** Never throws: what is unreadable belongs to nobody and is waited out. */
export function readLease({ value }: Entry): LeaseRecord {
  try {
    const { holder, instance, ttlMs } = JSON.parse(new TextDecoder().decode(value)) as Partial<Record<keyof LeaseRecord, unknown>>;
    return {
      holder: typeof holder === "string" ? holder : "unknown",
      instance: typeof instance === "string" ? instance : "",
      ttlMs: typeof ttlMs === "number" && ttlMs > 0 ? Math.min(ttlMs, maxTtlMs) : 0,
    };
  } catch {
    return { holder: "unknown", instance: "", ttlMs: 0 };
  }
}
