import type { Backend } from "../container/container.ts";
import type { EgressRule } from "../container/egress.ts";
import type { DropletStore } from "../droplet/store.ts";
import type { PortPool } from "../port-pool.ts";
import type { Clock, Logger } from "../ports.ts";
import type { Semaphore } from "../semaphore.ts";
import type { InstanceRecord } from "../snapshot.ts";
import type { InstanceExit } from "./exit.ts";
import type { Address } from "./health.ts";
import type { LogLine, ReadOptions } from "./log-buffer.ts";
import type { InstanceSpec } from "./spec.ts";
import type { InstanceState } from "./state.ts";
import type { InstanceStats } from "./stats.ts";

export interface StopOptions {
  /** Time between TERM and KILL. Default: what the spec says, 10 000 ms. */
  graceMs?: number;
  /** Aborting ends the grace, not the stop. */
  signal?: AbortSignal;
}

/** One run of an app. */
export interface Instance {
  /** 32 hex digits. */
  readonly id: string;
  /** 64 hex digits, for routers only: names the instance in session cookies. */
  readonly privateId: string;
  readonly spec: Omit<InstanceSpec, "env" | "services" | "application" | "droplet" | "command">;
  readonly state: InstanceState;
  /** Wall time of the last change of state, in milliseconds. */
  readonly stateSince: number;
  /** Settles when the health check passed, or rejects: DEA_HEALTH_TIMEOUT, DEA_EXITED, DEA_NO_COMMAND, DEA_DROPLET_*, DEA_STOPPED ... */
  readonly ready: Promise<void>;
  /** Settles when it has ended and nothing of it is left; never rejects. */
  readonly exited: Promise<InstanceExit>;
  readonly exit: InstanceExit | undefined;
  /** Where it answers; known from STARTING on. Throws DEA_NO_PORT before. */
  readonly address: Address;
  /** What it printed, then what it prints, until it ended or the signal aborts. */
  logs(options?: ReadOptions): AsyncGenerator<LogLine, void, undefined>;
  /** Throws DEA_STOPPED when it does not run. */
  stats(): Promise<InstanceStats>;
  /** Idempotent. Settles as `exited` does. */
  stop(options?: StopOptions): Promise<InstanceExit>;
}

export type InstanceChange =
  | { type: "state"; instance: Instance; from: InstanceState; to: InstanceState }
  | { type: "log"; instance: Instance; line: LogLine }
  | { type: "exit"; instance: Instance; exit: InstanceExit };

/** What an instance needs of its executor. */
export interface Surroundings {
  backend: Backend;
  store: DropletStore;
  ports: PortPool;
  /** Lets only a few unpack and start at a time. */
  admission: Semaphore;
  clock: Clock;
  log: Logger;
  /** Address under which the instance's port is reached. */
  host: string;
  shell: string;
  searchPath: string;
  changed(change: InstanceChange): void;
  /** Settles when what is true now is on disk. */
  persist(): Promise<void>;
}

/** What can change while an instance lives. */
export interface InstanceUpdate {
  uris?: readonly string[];
  version?: string;
  /** What it may reach from now on, open connections too. Needs `enforces.egress`. */
  egress?: readonly EgressRule[];
}

/** An instance as its executor sees it. */
export interface ManagedInstance extends Instance {
  /** Runs the start sequence; settles when it is up or has ended; never rejects. */
  launch(): Promise<void>;
  /** Takes over what an earlier executor started; settles when it is clear whether it lives. */
  resume(record: InstanceRecord): Promise<void>;
  /** Looks at memory and disk, and ends what exceeds its limits. */
  enforce(): Promise<void>;
  evacuate(): void;
  update(change: InstanceUpdate): void;
  record(): InstanceRecord;
  /** True until nothing of it is left: until then its memory and disk are not given to others. */
  readonly present: boolean;
  /** Stops looking after it and leaves it running. */
  release(): void;
}
