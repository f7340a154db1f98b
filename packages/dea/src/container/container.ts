import type { Readable, Writable } from "node:stream";
import type { Capabilities } from "./capabilities.ts";
import type { EgressRule } from "./egress.ts";

export interface ContainerSpec {
  /** Chosen by the caller, unique, `[a-z0-9-]+`; creating it twice is an error, destroying it twice is not. */
  handle: string;
  /** Port on the host under which the app is reached; 0 for none. */
  hostPort: number;
  memoryBytes: number;
  diskBytes: number;
  /** Limit of open files for each process. */
  fileDescriptors: number;
  /** Name of the root file system. Default: the backend's own. */
  stack?: string;
  /** Processes and threads. Default 1 024, where `enforces.pids`. */
  maxProcesses?: number;
  /** Files and folders. Default 200 000, where `enforces.inodes`. */
  inodes?: number;
  /** Weight against other containers, 1 to 256. Default memory / 8 MiB, held between both, where `enforces.cpuWeight`. */
  cpuShares?: number;
  /** Most cores at once, such as 0.5. Default: no cap. Refused unless `enforces.cpuCap`. */
  cpuCores?: number;
  /** Bytes a second each way, and the burst. Default: no limit. Refused unless `enforces.bandwidth`. */
  bandwidth?: { bytesPerSecond: number; burstBytes: number };
  /** What it may reach. Default: what the backend says. Refused unless `enforces.egress`. */
  egress?: readonly EgressRule[];
  /** For `list`: plain words, no secrets. */
  labels?: Readonly<Record<string, string>>;
}

export interface ProcessSpec {
  /** Program and arguments, given to the kernel as they are. */
  argv: readonly string[];
  /** `NAME=value` pairs, given to the kernel as they are: no shell looks at them. */
  env: readonly string[];
}

/** How a process ended. `undefined` in both fields: it is gone and nobody saw how. */
export interface ExitStatus {
  code?: number;
  /** Name such as SIGKILL. */
  signal?: string;
  /** The kernel killed a process of this container because its memory was used up. */
  outOfMemory?: boolean;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** A process beside the main one. */
export interface ExecSpec extends ProcessSpec {
  /** `vcap`, the app's user (default), or `root`: root of the container, who is nobody outside. */
  user?: "vcap" | "root";
  /** Folder as the app sees it. Default its home. */
  cwd?: string;
  /** Gives it a terminal of this size; its error output is then part of its output. */
  terminal?: TerminalSize;
}

export interface ContainerProcess {
  /** Unique in its container; the main process is `main`. */
  readonly id: string;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles once, when the main process has ended; never rejects. Output may still follow until the streams end. */
  readonly exited: Promise<ExitStatus>;
  /** Sends a signal to this one process; quiet when it has ended. */
  signal(name: NodeJS.Signals): Promise<void>;
}

export interface ExecProcess extends ContainerProcess {
  readonly stdin: Writable;
  /** Quiet when there is no terminal, or no longer. */
  resize(size: TerminalSize): Promise<void>;
}

export interface Usage {
  memoryBytes: number;
  /** CPU time used so far, in milliseconds of one core. */
  cpuMs: number;
  diskBytes: number;
  /** False when the disk count stopped at its bound: the real number is higher. */
  diskComplete: boolean;
  processes: number;
  /** Files and folders, where the backend knows. */
  inodes?: number;
  /** How often the kernel killed a process here because the memory was used up. */
  outOfMemoryKills?: number;
  /** Bytes that came in and went out, as the container counts. */
  network?: { receivedBytes: number; sentBytes: number; receivedPackets: number; sentPackets: number };
}

export interface ContainerInfo {
  handle: string;
  /** `created`: nothing was started; `running`; `stopped`: the main process has ended. */
  state: "created" | "running" | "stopped";
  /** Address of the container, and the host's on the same link, where it has a network of its own. */
  containerAddress?: string;
  hostAddress?: string;
  ports: readonly { host: number; container: number }[];
  labels: Readonly<Record<string, string>>;
  /** What the kernel has to say, such as `out of memory`. */
  events: readonly string[];
}

/** What a backend needs to find a container again after the executor restarted. Plain JSON, no secrets. */
export type ContainerRecord = Readonly<Record<string, string | number | boolean | null>>;

export interface Container {
  readonly handle: string;
  /** Folder on the host that holds the droplet: `app/`, `logs/`, ... */
  readonly homeDir: string;
  /** The same folder as the app sees it. */
  readonly homeInside: string;
  /** Shell and search path of its root file system, where that is not the host's. */
  readonly inside?: { readonly shell: string; readonly searchPath: string };
  /** Port the app must listen on. */
  readonly containerPort: number;
  /** Throws DEA_CONTAINER when the record would describe nothing: before `run`. */
  record(): ContainerRecord;
  /**
   * Starts the one main process. `beforeStart` runs when everything is in place but the app's first
   * instruction: what it stores is enough to find the app again. Throws DEA_CONTAINER.
   */
  run(process: ProcessSpec, beforeStart?: (record: ContainerRecord) => Promise<void>): Promise<ContainerProcess>;
  /** The main process, once it was started: what `run` or `adopt` answered. */
  attach(): ContainerProcess | undefined;
  /** Starts a process beside the main one; it ends with it at the latest. Throws DEA_CONTAINER when the main one does not run. */
  exec(process: ExecSpec): Promise<ExecProcess>;
  /**
   * Makes a folder of root's, which others share and nobody writes to, the beginning of the empty home: the app owns
   * what it sees, and what it writes is its own. Before `run`. False where that cannot be done; nothing has changed then.
   */
  layHome?(layer: { dir: string; bytes: number }): Promise<boolean>;
  /**
   * Unpacks a tar into a folder of the home, in any state before `destroy`. Follows no link.
   * Throws DEA_DROPLET_UNSAFE for names that lead out, DEA_DROPLET_TOO_LARGE, DEA_CONTAINER.
   */
  streamIn(path: string, tar: Readable, options?: { signal?: AbortSignal }): Promise<void>;
  /** A file or folder of the home as a tar, in any state before `destroy`. Follows no link. Throws DEA_CONTAINER when there is no such thing. */
  streamOut(path: string, options?: { signal?: AbortSignal }): Promise<Readable>;
  info(): Promise<ContainerInfo>;
  /** Replaces what it may reach, at once, also for connections that exist. Throws DEA_UNSUPPORTED unless `enforces.egress`. */
  setEgress(rules: readonly EgressRule[]): Promise<void>;
  /** Throws DEA_CONTAINER only when the container was destroyed. */
  usage(): Promise<Usage>;
  /** Its processes as the host numbers them; where a backend can tell, `exec` gives a command the app's own variables. */
  pids?(): Promise<number[]>;
  /** TERM to everybody, after `graceMs` KILL, until nobody is left; quiet when nobody runs. Throws DEA_CONTAINER if some survive. */
  stop(options: { graceMs: number; signal?: AbortSignal }): Promise<void>;
  /** KILL, then removes the folder. Quiet when already gone. */
  destroy(): Promise<void>;
  /** Forgets the container without touching its processes: the executor ends, the app goes on. */
  release(): void;
}

export interface Adopted {
  container: Container;
  /** Undefined when nothing runs any more. */
  process: ContainerProcess | undefined;
  /** How it ended, where nothing runs and something still tells. */
  status: ExitStatus;
  /** The main process has ended, and `process.exited` tells how in a moment, after its last output. */
  ended?: boolean;
}

export interface BackendPlace {
  /** Folder for the containers. */
  dir: string;
  /** Marks what is ours, so that nobody else's is ever touched. */
  owner: string;
  /**
   * The executor's folder, when it is a temporary one: nobody will come back for what a killed executor leaves,
   * so a backend that can should then end it and remove the folder.
   */
  ephemeral?: string;
  /** Folders of the executor that no app may see, where the backend can hide them. */
  hide?: readonly string[];
}

/** What the backend could hold if nobody else were on the machine. */
export interface BackendCapacity {
  memoryBytes: number;
  /** Free now in the backend's folder. */
  diskBytes: number;
  maxContainers: number;
}

export interface ListEntry {
  handle: string;
  labels: Readonly<Record<string, string>>;
}

/** Where instances run: plain processes, or an OCI runtime by the same face. The suite of `@opencf/dea/conformance` says what it must do. */
export interface Backend extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Names a spec's `stack` may have. Default none. */
  readonly stacks?: readonly string[];
  /** Called once before anything else. */
  open(place: BackendPlace): Promise<void>;
  /** Settles when the backend can work now. Throws DEA_CONTAINER, DEA_UNSUPPORTED. */
  ping(): Promise<void>;
  capacity(): Promise<BackendCapacity>;
  /** Containers of this owner that carry all these labels, by handle. */
  list(labels?: Readonly<Record<string, string>>): Promise<ListEntry[]>;
  /** Throws DEA_CONTAINER, and DEA_UNSUPPORTED for a limit the backend does not enforce. */
  create(spec: ContainerSpec): Promise<Container>;
  /** Finds a container of an earlier run of the executor. What is left of a dead one is cleared by `destroy`. */
  adopt(spec: ContainerSpec, record: ContainerRecord): Promise<Adopted>;
  /** Kills and removes everything of this owner whose handle is not in `keep`. Answers the handles it removed. */
  sweep(keep: ReadonlySet<string>): Promise<string[]>;
}
