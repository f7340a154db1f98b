import { Type } from "@sinclair/typebox";
import { Counts, Credentials, EgressRule, Fields, Strings, Text } from "./common.ts";
import { absent, all, defaulted, each, textual, type Upgrade, within } from "./older.ts";

const Flag = Type.Optional(Type.Union([Type.Boolean(), Type.Null()]));

/** Says where log lines of an instance belong: the source they are kept under, and tags that every line carries. */
export const LogSource = Type.Object({ source_id: Type.String(), tags: Type.Optional(Type.Record(Type.String(), Type.String())) });

/** Limits: `mem` and `disk` in MB of 2^20 bytes, `fds` a count. */
export const Limits = Type.Object({ mem: Type.Integer({ minimum: 1 }), disk: Type.Integer({ minimum: 1 }), fds: Type.Integer({ minimum: 1 }) });

/** One instance to start (dea_ng `StartMessage`). Links and services may hold secrets: never log them. */
export const StartMessage = Type.Object({
  droplet: Type.String(),
  version: Type.String(),
  index: Type.Integer({ minimum: 0 }),
  name: Type.String(),
  uris: Type.Optional(Type.Union([Strings, Type.Null()])),
  stack: Type.Optional(Type.String()),
  sha1: Text,
  sha256: Text,
  executableUri: Text,
  /** A path on a shared disk in v1, the word `deprecated` in v2. */
  executableFile: Text,
  start_command: Text,
  limits: Limits,
  /** `K=V`, split at the first `=`. */
  env: Type.Optional(Strings),
  services: Type.Optional(Type.Array(Fields)),
  vcap_application: Type.Optional(Fields),
  vcap_services: Type.Optional(Fields),
  health_check_timeout: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Null()])),
  health_check_type: Type.Optional(Type.Union([Type.Literal("port"), Type.Literal("http"), Type.Literal("process"), Type.Literal("none")])),
  health_check_http_endpoint: Text,
  health_check_invocation_timeout: Type.Optional(Type.Integer({ minimum: 1 })),
  health_check_interval: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Whether requests should come: failing it takes the routes away. Intervals in seconds, as above. */
  readiness_health_check_type: Type.Optional(Type.Union([Type.Literal("port"), Type.Literal("http"), Type.Literal("process")])),
  readiness_health_check_http_endpoint: Text,
  readiness_health_check_invocation_timeout: Type.Optional(Type.Integer({ minimum: 1 })),
  readiness_health_check_interval: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Seconds between TERM and KILL at a stop. */
  graceful_shutdown_interval: Type.Optional(Type.Number({ minimum: 0 })),
  /** On a host that runs out of memory or disk those with the lowest are moved away first. */
  priority: Type.Optional(Type.Number()),
  egress_network_rules: Type.Optional(Type.Array(EgressRule)),
  cc_partition: Type.Optional(Type.String()),
  process_guid: Type.Optional(Type.String()),
  process_type: Type.Optional(Type.String()),
  log_source: Type.Optional(LogSource),
  /** A repeated command with an id already seen is answered again, not carried out again. */
  command_id: Type.Optional(Type.String()),
  /** Limits that must hold against an app that tries to break them, as executors name them in `enforces`. */
  requires: Type.Optional(Strings),
  prod: Flag,
  /** The name of a mode in v1. */
  debug: Type.Optional(Type.Union([Type.Boolean(), Type.String(), Type.Null()])),
  console: Flag,
  /** v1: the files are deleted at once after a crash. */
  flapping: Flag,
  runtime: Text,
  framework: Text,
  users: Type.Optional(Type.Union([Strings, Type.Null()])),
});

/** The sizes that a v1 executor took where a start message named none. */
const limitsOf2011 = { mem: 512, disk: 256, fds: 1_024 };
export const olderStart: Upgrade = (body) => within("limits", defaulted(limitsOf2011))(defaulted({ limits: limitsOf2011 })(absent("cc_partition", "stack")(textual("droplet", "version")(body))));
export const olderStartWords = "a number as `droplet`; null as `cc_partition` or `stack`; missing `limits` are 512 MB, 256 MB and 1024 files";

/** Present, non-empty filters are ANDed; none means every instance of the app. States compare without case. */
export const filterFields = {
  droplet: Type.String(),
  version: Type.Optional(Type.String()),
  instances: Type.Optional(Strings),
  indices: Type.Optional(Type.Array(Type.Integer())),
  states: Type.Optional(Strings),
};
export const InstanceFilter = Type.Object(filterFields);

/**
 * `instances` and `instance_ids` are one list. What is no list goes where the schema refuses it:
 * a filter that is not understood must not become "every instance".
 */
export const olderFilter: Upgrade = (body) => {
  const today = textual("droplet")(body);
  if (!("instance_ids" in today)) return today;
  const { instance_ids: ids, ...rest } = today;
  if (ids === null || ids === undefined) return rest;
  if (rest["instances"] === undefined || rest["instances"] === null) return { ...rest, instances: ids };
  return { ...rest, instances: Array.isArray(ids) && Array.isArray(rest["instances"]) ? [...new Set<unknown>([...(rest["instances"] as unknown[]), ...(ids as unknown[])])] : ids };
};
export const olderFilterWords = "a number as `droplet`; `instance_ids` is joined to `instances`";

/** `time` is text; `cpu` a fraction where 1 is one core (percent before 2014); `mem` and `disk` bytes (`mem` KB before 2013); `log_rate` bytes per second. */
export const Usage = Type.Object({ time: Type.String(), cpu: Type.Number(), mem: Type.Number(), disk: Type.Number(), log_rate: Type.Optional(Type.Number()) });

/** Quotas in bytes, `uptime` in seconds. */
export const Stats = Type.Object({
  name: Type.String(), uris: Strings, host: Type.String(), port: Type.Integer(), uptime: Type.Number(),
  mem_quota: Type.Number(), disk_quota: Type.Number(), fds_quota: Type.Integer(), cores: Type.Optional(Type.Integer()), usage: Usage,
});

export const FoundInstance = Type.Object({
  dea: Type.String(),
  droplet: Type.String(),
  version: Type.String(),
  instance: Type.String(),
  index: Type.Integer(),
  state: Type.String(),
  /** Seconds since the epoch. */
  state_timestamp: Type.Number(),
  staged: Text,
  file_uri: Text,
  /** Only where the request has `path`. */
  file_uri_v2: Text,
  credentials: Type.Optional(Type.Union([Credentials, Type.Null()])),
  debug_ip: Text,
  debug_port: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  console_ip: Text,
  console_port: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  /** Of one that waits to be started: 1 is the next. */
  queue_position: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Only of instances with a readiness check: whether requests should come. */
  routable: Type.Optional(Type.Boolean()),
  /** Only of running instances, where the request has `include_stats`. */
  stats: Type.Optional(Stats),
});

export const HeartbeatEntry = Type.Object({
  droplet: Type.String(),
  version: Type.String(),
  instance: Type.String(),
  index: Type.Integer(),
  state: Type.String(),
  /** Seconds since the epoch. */
  state_timestamp: Type.Number(),
  cc_partition: Type.Optional(Type.String()),
  /** Where the instance answers, as the router is told. */
  host: Type.Optional(Type.String()),
  port: Type.Optional(Type.Integer()),
  details: Type.Optional(Type.String()),
  /** Only of instances with a readiness check: whether requests should come. */
  routable: Type.Optional(Type.Boolean()),
});

/** Always the complete list of the executor: what is absent is gone (dea_ng since November 2013). */
export const Heartbeat = Type.Object({ dea: Type.String(), droplets: Type.Array(HeartbeatEntry), prod: Type.Optional(Type.Boolean()) });

/** v1 called a crashed instance that was then stopped DELETED. */
const statesOf2011: Upgrade = (body) => (body["state"] === "DELETED" ? { ...body, state: "STOPPED" } : body);
const entryOf2011: Upgrade = all(textual("droplet", "version"), absent("cc_partition"), statesOf2011);
export const olderHeartbeat: Upgrade = each("droplets", entryOf2011);
export const olderHeartbeatWords = "a number as `droplet`; null as `cc_partition`; the state DELETED is STOPPED";

/** `exit_status` is -1 where it is not known; `crash_timestamp` is seconds since the epoch, only of crashes. */
export const Exited = Type.Object({
  droplet: Type.String(),
  version: Type.String(),
  instance: Type.String(),
  index: Type.Integer(),
  reason: Type.Union([Type.Literal("CRASHED"), Type.Literal("STOPPED"), Type.Literal("DEA_SHUTDOWN"), Type.Literal("DEA_EVACUATION")]),
  cc_partition: Type.Optional(Type.String()),
  exit_status: Type.Optional(Type.Integer()),
  exit_description: Type.Optional(Type.String()),
  crash_timestamp: Type.Optional(Type.Number()),
  dea: Type.Optional(Type.String()),
  /** For programs: `oom`, `exit:3`, `signal:SIGSEGV`, `port-timeout`, ... and its family: `oom`, `exit`, `signal`, `health-timeout`, ... */
  exit_reason: Type.Optional(Type.String()),
  exit_kind: Type.Optional(Type.String()),
  log_tail: Type.Optional(Strings),
});

export const olderExited: Upgrade = all(textual("droplet", "version"), absent("cc_partition", "exit_status", "exit_description"));
export const olderExitedWords = "a number as `droplet`; null as `cc_partition`, `exit_status` or `exit_description`";

/** Who an executor is; `port` is that of its file viewer. */
export const Hello = Type.Object({ id: Type.String(), ip: Type.String(), port: Type.Optional(Type.Integer()), version: Type.Optional(Type.String()) });

/** Memory in MB of 2^20 bytes, as everywhere in these messages. */
export const Status = Type.Composite([Hello, Type.Object({
  max_memory: Type.Number(), reserved_memory: Type.Number(), used_memory: Type.Number(), num_clients: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  /** `SHUTTING_DOWN` in v1. */
  state: Type.Optional(Type.String()),
})]);

/** A runtime that stands on the host and that apps may share; `found` says how the executor knows of it. */
const HostRuntime = Type.Object({ name: Type.String(), version: Type.Optional(Type.String()), found: Type.Optional(Type.String()) });

/**
 * `url` is where the executor takes commands over HTTPS (v2c). Room has a fraction where the overcommit factor has one (dea_ng
 * `ResourceManager`). `runtimes` are names, as in v1. Of ours: sizes of the whole executor, the segment, versions of runtimes,
 * and in `counted_commands` the newest start commands whose instances these numbers hold already.
 */
export const Advertise = Type.Object({
  id: Type.String(),
  stacks: Strings,
  available_memory: Type.Number(),
  available_disk: Type.Optional(Type.Number()),
  app_id_to_count: Type.Optional(Counts),
  /** An executor of an isolation segment takes only apps of that segment. */
  placement_properties: Type.Optional(Type.Object({ zone: Type.Optional(Type.String()), isolation_segment: Text })),
  url: Text,
  prod: Type.Optional(Type.Boolean()),
  runtimes: Type.Optional(Strings),
  runtime_details: Type.Optional(Type.Array(HostRuntime)),
  total_memory: Type.Optional(Type.Number()),
  total_disk: Type.Optional(Type.Number()),
  available_instances: Type.Optional(Type.Integer()),
  counted_commands: Type.Optional(Strings),
  /** Limits that hold here against an app that tries to break them, such as `memory`, `disk`, `egress`. */
  enforces: Type.Optional(Strings),
});
