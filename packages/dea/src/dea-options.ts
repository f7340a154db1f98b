import type { Backend } from "./container/container.ts";
import type { Phase } from "./instance/phases.ts";
import type { Clock, Fetch, Logger } from "./ports.ts";
import type { PressureOptions } from "./pressure/relief.ts";
import type { PlaceSpec } from "./instance/place-spec.ts";

export interface DeaOptions {
  /** Where instances run. Default: `processBackend()`. */
  backend?: Backend;
  /** Folder for everything the executor keeps. Default: a temporary one, deleted at the end. */
  dataDir?: string;
  /** Memory that may be promised. Default: the machine's. */
  memoryBytes?: number;
  /** Disk that may be promised. Default: what is free where `dataDir` is. */
  diskBytes?: number;
  /** Default 1 000. */
  maxInstances?: number;
  /** Address under which instances are reached, and `CF_INSTANCE_IP`. Default 127.0.0.1. */
  host?: string;
  /** Ports for instances. Default 61001 to 65000. */
  portRange?: { first: number; last: number };
  /** Rest of a port between two instances. Default 60 000 ms. */
  portRestMs?: number;
  /** Instances that unpack and start at the same time; others wait their turn. Default 4. */
  concurrentStarts?: number;
  /** Time between looks at memory and disk. Default 1 000 ms. */
  samplingMs?: number;
  /** Time between two samples of an instance that `metrics()` answers; not below `samplingMs`. Default 5 000 ms. */
  metricsMs?: number;
  /** Limits of instances that ask for none: a cap of cores, bandwidth, processes, files, and the stack. Default none. */
  instanceLimits?: PlaceSpec;
  /** Lines one instance may print a second; more are read, counted, dropped and said. Default 100 000; Infinity for no bound. */
  logLinesPerSecond?: number;
  /** What to do with instances an earlier executor left running. Default `adopt`. */
  onResume?: "adopt" | "stop";
  /** What disposing does with instances: `stop` them, or `keep` them for the next executor. Default `stop`. */
  onClose?: "stop" | "keep";
  /** Deadline of each phase of start and stop, where the table of {@link phases} shall not hold. */
  deadlinesMs?: Partial<Record<Phase, number>>;
  /** Time between TERM and KILL by process type, for starts that name none. Default: `deadlinesMs.term`, 10 000 ms. */
  graceMsByType?: Readonly<Record<string, number>>;
  /** How long a crashed instance is remembered. Default 3 600 000 ms. */
  crashLifetimeMs?: number;
  /** Crashes per app whose logs stay readable, the newest. Default 1. */
  crashFilesPerApp?: number;
  /** Used share of the disk, in bytes or inodes, above which files of crashed instances and droplets nobody uses go. Default 0.8. */
  diskPressureRatio?: number;
  /** Moves instances away before the machine's memory or disk is full; nothing is started meanwhile. Default: nobody looks. */
  pressure?: PressureOptions;
  /** Folder of downloaded droplets; executors may share it. Default `dataDir/droplets`. */
  dropletCacheDir?: string;
  /** Space for downloaded droplets. Default 4 GiB. */
  dropletCacheBytes?: number;
  /**
   * Encrypts what the executor writes down of its instances (AES-256-GCM); at least 16 bytes. With it environments and
   * services are written down too, so that a start that was cut short by the executor's death is carried out by the next
   * one. Default: none, nothing secret is written, and such a start ends as `interrupted`.
   */
  journalKey?: string | Uint8Array;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}
