import { UsageError } from "./usage.ts";

/** What a configuration file sets; every field may be absent. */
export interface FileSettings {
  nats?: string[];
  dataDir?: string;
  memoryMb?: number;
  memoryOvercommit?: number;
  diskMb?: number;
  diskOvercommit?: number;
  heartbeatMs?: number;
  advertiseMs?: number;
  registerMs?: number;
  healthTimeoutMs?: number;
  crashLifetimeMs?: number;
  diskPressureRatio?: number;
  evacuationMs?: number;
  stacks?: { name: string; root?: string }[];
  zone?: string;
  isolationSegment?: string;
  maxProcesses?: number;
  inodes?: number;
  bandwidth?: { bytesPerSecond: number; burstBytes?: number };
  runtimes?: { name: string; version?: string }[];
  maxInstances?: number;
  /** Of the server of files: where links lead by name, its port, their scheme, and when a tail is broken off. */
  domain?: string;
  filesPort?: number;
  filesProtocol?: "http" | "https";
  streamingTimeoutMs?: number;
}

const wrong = (path: string, wanted: string, value: unknown): UsageError => new UsageError(`${path} must be ${wanted}, not ${JSON.stringify(value)}`);

const numberOf = (path: string, value: unknown): number => {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) throw wrong(path, "a number above 0", value);
  return value;
};
const textOf = (path: string, value: unknown): string => {
  if (typeof value !== "string" || value === "") throw wrong(path, "a text", value);
  return value;
};
const fieldsOf = (path: string, value: unknown): Record<string, unknown> => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(path, "a mapping", value);
  return value as Record<string, unknown>;
};
const listOf = (path: string, value: unknown): unknown[] => {
  if (!Array.isArray(value)) throw wrong(path, "a list", value);
  return value as unknown[];
};
const seconds = (path: string, value: unknown): number => numberOf(path, value) * 1_000;

type Apply = (settings: FileSettings, value: unknown, path: string) => void;

const ratio: Apply = (settings, value, path) => {
  const share = numberOf(path, value);
  if (share > 1) throw wrong(path, "at most 1", value);
  settings.diskPressureRatio = Math.min(share, settings.diskPressureRatio ?? 1);
};

/** `[{name, version}]`, or as v1 had it: `{name: {version}}`. */
const runtimes: Apply = (settings, value, path) => {
  const entries = Array.isArray(value)
    ? (value as unknown[]).map((each, at) => (typeof each === "string" ? { name: each } : fieldsOf(`${path}[${at}]`, each)))
    : Object.entries(fieldsOf(path, value)).map(([name, more]) => ({ name, ...(typeof more === "object" && more !== null ? more : {}) }));
  settings.runtimes = entries.map((entry: Record<string, unknown>, at) => {
    const version = entry["version"];
    return { name: textOf(`${path}[${at}].name`, entry["name"]), ...(version === undefined || version === null ? {} : { version: String(version as string | number) }) };
  });
};

/** Keys that are carried out, as dea_ng has them (`config/dea.yml`), and what they set. */
export const honouredKeys: Readonly<Record<string, Apply>> = {
  base_dir: (settings, value, path) => (settings.dataDir = textOf(path, value)),
  nats_servers: (settings, value, path) => (settings.nats = typeof value === "string" ? [textOf(path, value)] : listOf(path, value).map((each) => textOf(path, each))),
  nats_uri: (settings, value, path) => (settings.nats ??= [textOf(path, value)]),
  "resources.memory_mb": (settings, value, path) => (settings.memoryMb = numberOf(path, value)),
  "resources.memory_overcommit_factor": (settings, value, path) => (settings.memoryOvercommit = numberOf(path, value)),
  "resources.disk_mb": (settings, value, path) => (settings.diskMb = numberOf(path, value)),
  "resources.disk_overcommit_factor": (settings, value, path) => (settings.diskOvercommit = numberOf(path, value)),
  "intervals.heartbeat": (settings, value, path) => (settings.heartbeatMs = seconds(path, value)),
  "intervals.advertise": (settings, value, path) => (settings.advertiseMs = seconds(path, value)),
  "intervals.router_register_in_seconds": (settings, value, path) => (settings.registerMs = seconds(path, value)),
  default_health_check_timeout: (settings, value, path) => (settings.healthTimeoutMs = seconds(path, value)),
  crash_lifetime_secs: (settings, value, path) => (settings.crashLifetimeMs = seconds(path, value)),
  crash_block_usage_ratio_threshold: ratio,
  crash_inode_usage_ratio_threshold: ratio,
  evacuation_bail_out_time_in_seconds: (settings, value, path) => (settings.evacuationMs = seconds(path, value)),
  "instance.nproc_limit": (settings, value, path) => (settings.maxProcesses = numberOf(path, value)),
  "instance.disk_inode_limit": (settings, value, path) => (settings.inodes = numberOf(path, value)),
  "instance.bandwidth_limit": (settings, value, path) => {
    const { rate, burst } = fieldsOf(path, value);
    settings.bandwidth = { bytesPerSecond: numberOf(`${path}.rate`, rate), ...(burst === undefined ? {} : { burstBytes: numberOf(`${path}.burst`, burst) }) };
  },
  stacks: (settings, value, path) => {
    settings.stacks = listOf(path, value).map((each, at) => {
      const { name, package_path: root } = typeof each === "string" ? { name: each, package_path: undefined } : fieldsOf(`${path}[${at}]`, each);
      return { name: textOf(`${path}[${at}].name`, name), ...(root === undefined || root === null ? {} : { root: textOf(`${path}[${at}].package_path`, root) }) };
    });
  },
  "placement_properties.zone": (settings, value, path) => (settings.zone = textOf(path, value)),
  "placement_properties.isolation_segment": (settings, value, path) => (settings.isolationSegment = textOf(path, value)),
  runtimes,
  domain: (settings, value, path) => (settings.domain = textOf(path, value)),
  "directory_server.v2_port": (settings, value, path) => (settings.filesPort = numberOf(path, value)),
  "directory_server.protocol": (settings, value, path) => {
    if (value !== "http" && value !== "https") throw wrong(path, "http or https", value);
    settings.filesProtocol = value;
  },
  "directory_server.streaming_timeout": (settings, value, path) => (settings.streamingTimeoutMs = seconds(path, value)),
  max_instances: (settings, value, path) => (settings.maxInstances = numberOf(path, value)),
};

const cpuWeight = "the weight of an app is its memory / 8 MiB, from 1 to 256";

/** Keys of the original that do nothing here, and why. Others are unknown. */
export const knownKeys: Readonly<Record<string, string>> = {
  staging: "staging is a program of its own: opencf-stage",
  "instance.memory_to_cpu_share_ratio": cpuWeight,
  "instance.min_cpu_share_limit": cpuWeight,
  "instance.max_cpu_share_limit": cpuWeight,
  bind_mounts: "nothing of the host is shown to apps beside programs",
  hooks: "no scripts run inside containers",
  post_setup_hook: "no text is put into start scripts",
  ssl: "commands come over the bus only",
  hm9000: "heartbeats go over the bus",
  cc_url: "nothing is asked of a controller",
  warden_socket: "containers are made by this program",
  container: "containers are made by this program",
  logging: "logs go to standard error, or with --json to standard output",
  loggregator: "log lines go over the bus",
  pid_filename: "the service manager knows the process",
  local_route: "give --host",
  index: "the executor makes its own id and keeps it",
  status: "no monitoring port is opened",
  "directory_server.file_api_port": "the server of files asks nobody which path to serve",
  "directory_server.v1_port": "the viewer of the first generation is on the port of the second",
};
