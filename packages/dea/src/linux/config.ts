import { appUser } from "./etc-files.ts";
import { idsPerSlot, type Slot } from "./names.ts";
import { linkScript } from "./network-script.ts";
import { seccompProfile } from "./seccomp.ts";

/** One entry of `mounts` (OCI runtime specification, config). */
export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: readonly string[];
}

export interface ConfigInput {
  slot: Slot;
  hostname: string;
  rootDir: string;
  /** Folder on the host that becomes the app's home. */
  homeDir: string;
  /** Folders and files of the host that are seen inside, read-only, at the same path. */
  hostPaths: readonly string[];
  /** Relative to each controller's root. */
  cgroup: string;
  argv: readonly string[];
  env: readonly string[];
  memoryBytes: number;
  /** Whether the kernel counts swap. */
  swap: boolean;
  maxProcesses: number;
  cpuShares: number;
  cpuCores: number | undefined;
  bandwidth: { bytesPerSecond: number; burstBytes: number } | undefined;
  /** Search path of the host's programs, for what the runtime calls. */
  hostPath: string;
  fileDescriptors: number;
  arch?: string;
}

const MiB = 1024 ** 2;
const cpuPeriodMicros = 100_000;

/** What would tell of the host or reach its hardware, hidden under nothing; and what may be read only. */
const maskedPaths = [
  "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
  "/proc/sched_debug", "/proc/scsi", "/proc/kallsyms", "/proc/kmsg", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const nothing = { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] };

/** A weight as the first executors counted it: one for each 8 MiB of memory, from 1 to 256. The kernel's least is 2. */
export const sharesFor = (memoryBytes: number): number => Math.min(256, Math.max(1, Math.floor(memoryBytes / (8 * MiB))));

export interface ProcessInput {
  argv: readonly string[];
  env: readonly string[];
  cwd?: string;
  user?: "vcap" | "root";
  terminal?: { columns: number; rows: number };
  fileDescriptors: number;
}

/** `process` of the configuration, and the file that `exec` takes: no right that root has, and none to be had. */
export function ociProcess({ argv, env, cwd = appUser.home, user = "vcap", terminal, fileDescriptors }: ProcessInput): object {
  const limit = (type: string, value: number): object => ({ type, hard: value, soft: value });
  return {
    terminal: terminal !== undefined,
    ...(terminal ? { consoleSize: { width: terminal.columns, height: terminal.rows } } : {}),
    user: user === "root" ? { uid: 0, gid: 0 } : { uid: appUser.uid, gid: appUser.gid },
    args: argv,
    env,
    cwd,
    capabilities: nothing,
    noNewPrivileges: true,
    rlimits: [limit("RLIMIT_NOFILE", fileDescriptors), limit("RLIMIT_CORE", 0), limit("RLIMIT_MEMLOCK", 64 * 1024), limit("RLIMIT_MSGQUEUE", 819_200)],
  };
}

/** Mounts over the root, in order: a later one may lie in an earlier one. */
export function ociMounts({ homeDir, hostPaths, memoryBytes }: Pick<ConfigInput, "homeDir" | "hostPaths" | "memoryBytes">): OciMount[] {
  const bind = (path: string, source: string, ...options: string[]): OciMount => ({ destination: path, type: "bind", source, options: ["rbind", ...options, "nosuid", "nodev"] });
  const shared = Math.max(MiB, Math.min(64 * MiB, Math.floor(memoryBytes / 4)));
  return [
    ...hostPaths.map((path) => bind(path, path, "ro")),
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "strictatime", "mode=755", "size=65536"] },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${shared}`] },
    { destination: "/sys", type: "tmpfs", source: "sys", options: ["nosuid", "noexec", "nodev", "mode=755", "size=65536"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"] },
    bind("/sys/devices/system/cpu", "/sys/devices/system/cpu", "ro", "noexec"),
    bind(appUser.home, homeDir),
  ];
}

/** `config.json` for one container (OCI runtime specification 1.0). A pure function: the same input is the same container. */
export function ociConfig(input: ConfigInput): object {
  const { slot, hostname, rootDir, cgroup, memoryBytes, swap, maxProcesses, cpuShares, cpuCores, arch } = input;
  const mapping = [{ containerID: 0, hostID: slot.firstId, size: idsPerSlot }];
  const device = (type: string, major: number, minor?: number): object => ({ allow: true, type, major, ...(minor === undefined ? {} : { minor }), access: "rwm" });
  return {
    ociVersion: "1.0.2",
    process: ociProcess(input),
    root: { path: rootDir, readonly: false },
    hostname,
    mounts: ociMounts(input),
    // Between the making of the namespaces and the first instruction the runtime lets us put the link in.
    hooks: {
      createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", linkScript(slot, input.bandwidth)], env: [`PATH=${input.hostPath}`], timeout: 20 }],
    },
    linux: {
      uidMappings: mapping,
      gidMappings: mapping,
      namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"].map((type) => ({ type })),
      cgroupsPath: `/${cgroup}`,
      rootfsPropagation: "private",
      maskedPaths,
      readonlyPaths,
      seccomp: seccompProfile(arch),
      resources: {
        memory: { limit: memoryBytes, ...(swap ? { swap: memoryBytes } : {}) },
        pids: { limit: maxProcesses },
        cpu: { shares: Math.max(2, cpuShares), ...(cpuCores === undefined ? {} : { period: cpuPeriodMicros, quota: Math.max(1_000, Math.round(cpuCores * cpuPeriodMicros)) }) },
        devices: [
          { allow: false, access: "rwm" },
          device("c", 1, 3), device("c", 1, 5), device("c", 1, 7), device("c", 1, 8), device("c", 1, 9), device("c", 5, 0), device("c", 5, 2), device("c", 136),
        ],
      },
    },
  };
}
