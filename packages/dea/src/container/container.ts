import type { Readable } from "node:stream";

/** What a backend really separates, so that nobody has to guess. */
export interface Capabilities {
  /** How the memory limit is kept: by the kernel, by polling (an app can exceed it for a moment), or not at all. */
  memory: "kernel" | "polled" | "none";
  disk: "kernel" | "polled" | "none";
  cpu: "kernel" | "none";
  /** Own file tree: the app cannot see or change the host's files. */
  filesystem: boolean;
  /** Own network: the app cannot reach the host's loopback or take its ports. */
  network: boolean;
  /** Own process tree: the app cannot see or signal other processes. */
  processes: boolean;
  /** The app runs as another user than the executor. */
  user: boolean;
  /** Sentences for people: what this backend does not isolate. */
  warnings: readonly string[];
}

export interface ContainerSpec {
  /** Chosen by the caller, unique, `[a-z0-9-]+`; creating it twice is an error, destroying it twice is not. */
  handle: string;
  /** Port on the host under which the app is reached. */
  hostPort: number;
  memoryBytes: number;
  diskBytes: number;
  /** Limit of open files for each process. */
  fileDescriptors: number;
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
}

export interface ContainerProcess {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles once, when the main process has ended; never rejects. Output may still follow until the streams end. */
  readonly exited: Promise<ExitStatus>;
}

export interface Usage {
  memoryBytes: number;
  /** CPU time used so far, in milliseconds of one core. */
  cpuMs: number;
  diskBytes: number;
  /** False when the disk count stopped at its bound: the real number is higher. */
  diskComplete: boolean;
  processes: number;
}

/** What a backend needs to find a container again after the executor restarted. Plain JSON, no secrets. */
export type ContainerRecord = Readonly<Record<string, string | number | boolean | null>>;

export interface Container {
  readonly handle: string;
  /** Folder on the host that holds the droplet: `app/`, `logs/`, ... */
  readonly homeDir: string;
  /** The same folder as the app sees it. */
  readonly homeInside: string;
  /** Port the app must listen on. */
  readonly containerPort: number;
  /** Throws DEA_CONTAINER when the record would describe nothing: before `run`. */
  record(): ContainerRecord;
  /**
   * Starts the one main process. `beforeStart` runs when everything is in place but the app's first
   * instruction: what it stores is enough to find the app again. Throws DEA_CONTAINER.
   */
  run(process: ProcessSpec, beforeStart?: (record: ContainerRecord) => Promise<void>): Promise<ContainerProcess>;
  /** Throws DEA_CONTAINER only when the container was destroyed. */
  usage(): Promise<Usage>;
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
}

/** Where instances run: plain processes today, an OCI runtime by the same face. Proven by `backendConformance`. */
export interface Backend extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Called once before anything else. */
  open(place: BackendPlace): Promise<void>;
  /** Throws DEA_CONTAINER. */
  create(spec: ContainerSpec): Promise<Container>;
  /** Finds a container of an earlier run of the executor. What is left of a dead one is cleared by `destroy`. */
  adopt(spec: ContainerSpec, record: ContainerRecord): Promise<Adopted>;
  /** Kills and removes everything of this owner whose handle is not in `keep`. Answers the handles it removed. */
  sweep(keep: ReadonlySet<string>): Promise<string[]>;
}
