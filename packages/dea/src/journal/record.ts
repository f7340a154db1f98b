import type { ContainerRecord } from "../container/container.ts";
import type { InstanceExit } from "../instance/exit.ts";
import type { InstanceSpec } from "../instance/spec.ts";
import { type InstanceState, states } from "../instance/state.ts";

/** The part of a spec that may hold secrets. A process that runs needs it no more. */
export type SecretSpec = Pick<InstanceSpec, "env" | "services" | "application" | "droplet" | "command">;

/** What a restarted executor must know of an instance. */
export interface InstanceRecord {
  id: string;
  privateId: string;
  state: InstanceState;
  stateSince: number;
  startedAt: number;
  readyAt: number | undefined;
  /** How often the instance was taken over so far. */
  resumes: number;
  port: number | undefined;
  container: ContainerRecord | undefined;
  spec: Omit<InstanceSpec, keyof SecretSpec>;
  exit: InstanceExit | undefined;
  /** Only in an encrypted journal: with it a start that was cut short can be carried out. */
  secret?: SecretSpec | undefined;
}

/** Throws when the value is no record: what is read from a file is checked before it is believed. */
export function checkedRecord(value: unknown): InstanceRecord {
  const record = value as Partial<InstanceRecord> | null;
  const whole =
    record !== null && typeof record === "object" && typeof record.id === "string" && /^[0-9a-f]{32}$/.test(record.id) &&
    typeof record.privateId === "string" && states.includes(record.state as InstanceState) &&
    typeof record.stateSince === "number" && typeof record.startedAt === "number" && typeof record.resumes === "number" &&
    typeof record.spec === "object" && typeof record.spec?.appId === "string" && typeof record.spec.memoryBytes === "number";
  if (!whole) throw new Error("not an instance");
  return record as InstanceRecord;
}
