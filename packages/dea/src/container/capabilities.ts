/** Limits a container may be given. */
export const limitNames = [
  "memory", "swap", "cpuWeight", "cpuCap", "pids", "disk", "inodes", "fileDescriptors", "bandwidth", "egress", "syscalls",
] as const;

export type LimitName = (typeof limitNames)[number];

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
  /**
   * The limits that hold against an app that tries to break them: true only where the kernel keeps them. What is
   * false here the executor neither promises nor advertises, and a start that needs it is refused.
   */
  enforces: Readonly<Record<LimitName, boolean>>;
  /** Sentences for people: what this backend does not isolate. */
  warnings: readonly string[];
  /** What stands around an app, where the backend has a choice: `none`, `bubblewrap`, `user-namespace`. */
  isolation?: string;
  /** The warnings in one line, with the reason where more would be possible elsewhere. For logs at start. */
  summary?: string;
}

/** Table of limits from the names of those that are kept. */
export const enforcing = (names: readonly LimitName[]): Record<LimitName, boolean> =>
  Object.fromEntries(limitNames.map((name) => [name, names.includes(name)])) as Record<LimitName, boolean>;

/** Names of the limits that are kept, in the order of {@link limitNames}: what may be advertised. */
export const enforcedLimits = ({ enforces }: Pick<Capabilities, "enforces">): LimitName[] => limitNames.filter((name) => enforces[name]);

/** Log event of a start that says, in one line, what the backend does not keep apart. */
export const isolationEvent = "dea.isolation";
