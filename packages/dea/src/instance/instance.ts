import type { Backend, ExecProcess } from "../container/container.ts";
import type { EgressRule } from "../container/egress.ts";
import type { DropletStore } from "../droplet/store.ts";
import type { InstanceRecord } from "../journal/record.ts";
import type { PortPool } from "../port-pool.ts";
import type { Clock, Logger } from "../ports.ts";
import type { Semaphore } from "../semaphore.ts";
import type { InstanceExit } from "./exit.ts";
import type { Address } from "./health.ts";
import type { KeptFiles } from "./kept-files.ts";
import type { ExecOptions } from "./exec.ts";
import type { LogLine, ReadOptions } from "./log-buffer.ts";
import type { InstanceSample, MetricsOptions } from "./metrics.ts";
import type { Deadlines } from "./phases.ts";
import type { InstanceSpec } from "./spec.ts";
import type { InstanceState } from "./state.ts";
import type { InstanceStats } from "./stats.ts";

export interface StopOptions {
  /** Time between TERM and KILL. Default: what the spec says. */
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
  /** Wall time, in milliseconds, of the last entry into each state it was in. */
  readonly stateTimes: Readonly<Partial<Record<InstanceState, number>>>;
  /** While it waits for its turn to start: 1 for the next, 2 for the one after. */
  readonly queuePosition: number | undefined;
  /** Requests should come to it: it is up, not on its way out, and its readiness check passes. */
  readonly routable: boolean;
  /** Folder of its files on the host, while they can be looked at: the droplet's; of a crashed one `logs/`, until that is reaped. The app may change what is in it. */
  readonly filesDir: string | undefined;
  /** Wall time of its first instruction, in milliseconds; undefined when it never had one. */
  readonly startedAt: number | undefined;
  /** Its folder as the app sees it; undefined before it has one. */
  readonly homeInside: string | undefined;
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
  /** The last 120 samples, oldest first; one each `metricsMs` while it runs. */
  metrics(): readonly InstanceSample[];
  /** The samples that are kept, then each as it comes, until it ended or the signal aborts. */
  followMetrics(options?: MetricsOptions): AsyncGenerator<InstanceSample, void, undefined>;
  /**
   * Starts a command in the instance, beside the app: with its variables, in its folder, as its user, within its limits.
   * It ends with the app. At most 32 at once. Throws DEA_STOPPED, DEA_INVALID_SPEC, DEA_CONTAINER, DEA_UNSUPPORTED.
   */
  exec(options?: ExecOptions): Promise<ExecProcess>;
  /** Idempotent. Settles as `exited` does. */
  stop(options?: StopOptions): Promise<InstanceExit>;
}

export type InstanceChange =
  | { type: "state"; instance: Instance; from: InstanceState; to: InstanceState }
  | { type: "routable"; instance: Instance; routable: boolean }
  | { type: "update"; instance: Instance; before: { uris: readonly string[]; version: string } }
  | { type: "log"; instance: Instance; line: LogLine }
  | { type: "exit"; instance: Instance; exit: InstanceExit };

/** What an instance needs of its executor. */
export interface Surroundings {
  backend: Backend;
  store: DropletStore;
  ports: PortPool;
  /** Lets only a few unpack and start at a time. */
  admission: Semaphore;
  deadlines: Deadlines;
  keptFiles: KeptFiles;
  /** Time between two samples of an instance. */
  metricsMs: number;
  logLinesPerSecond: number;
  clock: Clock;
  log: Logger;
  /** Address under which the instance's port is reached. */
  host: string;
  shell: string;
  searchPath: string;
  changed(change: InstanceChange): void;
  /** The journal is encrypted: secrets may be in it. */
  keepsSecrets: boolean;
  /** Settles when what is true of the instance now is in the journal. */
  persist(instance: ManagedInstance): Promise<void>;
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
  /** Deletes what is kept of its files. */
  dropFiles(): void;
  record(): InstanceRecord;
  /** True until nothing of it is left: until then its memory and disk are not given to others. */
  readonly present: boolean;
  /** Settles when it is no longer `present`. */
  readonly gone: Promise<void>;
  /** Stops looking after it and leaves it running. */
  release(): void;
}
