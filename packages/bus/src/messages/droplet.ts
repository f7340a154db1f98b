import { Type } from "@sinclair/typebox";
import { message } from "../schema.ts";

const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const Strings = Type.Array(Type.String());
const Counts = Type.Record(Type.String(), Type.Integer());
/** Very old senders use numbers where later ones use guids; compare as text. */
const Guid = Type.Union([Type.String(), Type.Integer()]);

/** Says where log lines of an instance belong: the source they are kept under, and tags that every line carries. */
export const LogSource = Type.Object({ source_id: Type.String(), tags: Type.Optional(Type.Record(Type.String(), Type.String())) });

export const Hello = Type.Object({
  id: Type.String(), ip: Type.String(), port: Type.Optional(Type.Integer()), version: Type.Optional(Type.Union([Type.String(), Type.Number()])),
});

/** Memory in MB of 2^20 bytes, as everywhere in these messages. */
export const Status = Type.Composite([Hello, Type.Object({
  max_memory: Type.Number(), reserved_memory: Type.Number(), used_memory: Type.Number(), num_clients: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
})]);

/** Limits: `mem` and `disk` in MB, `fds` a count. */
export const Limits = Type.Object({ mem: Type.Integer({ minimum: 1 }), disk: Type.Integer({ minimum: 1 }), fds: Type.Integer({ minimum: 1 }) });

export const StartMessage = Type.Object({
  droplet: Guid,
  version: Type.String(),
  index: Type.Integer({ minimum: 0 }),
  name: Type.String(),
  uris: Type.Optional(Type.Union([Strings, Type.Null()])),
  stack: Type.Optional(Type.String()),
  sha1: Text,
  sha256: Text,
  executableUri: Text,
  start_command: Text,
  limits: Limits,
  /** `K=V`, split at the first `=`. */
  env: Type.Optional(Strings),
  services: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  vcap_application: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  vcap_services: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  health_check_timeout: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Null()])),
  health_check_type: Type.Optional(Type.Union([Type.Literal("port"), Type.Literal("http"), Type.Literal("process"), Type.Literal("none")])),
  health_check_http_endpoint: Text,
  health_check_invocation_timeout: Type.Optional(Type.Integer({ minimum: 1 })),
  health_check_interval: Type.Optional(Type.Integer({ minimum: 1 })),
  egress_network_rules: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  cc_partition: Type.Optional(Type.String()),
  process_guid: Type.Optional(Type.String()),
  process_type: Type.Optional(Type.String()),
  log_source: Type.Optional(LogSource),
  /** A repeated command with an id already seen is answered again, not carried out again. */
  command_id: Type.Optional(Type.String()),
});

/** Present, non-empty filters are ANDed; none means every instance of the app. */
const filterFields = {
  droplet: Guid,
  version: Type.Optional(Type.String()),
  instances: Type.Optional(Strings),
  instance_ids: Type.Optional(Strings),
  indices: Type.Optional(Type.Array(Type.Integer())),
  states: Type.Optional(Strings),
};
export const InstanceFilter = Type.Object(filterFields);

/** `time` is text; `cpu` a fraction where 1 is one core; `mem` and `disk` bytes; `log_rate` bytes per second. */
export const Usage = Type.Object({ time: Type.String(), cpu: Type.Number(), mem: Type.Number(), disk: Type.Number(), log_rate: Type.Optional(Type.Number()) });

export const FoundInstance = Type.Object({
  dea: Type.String(),
  droplet: Guid,
  version: Type.String(),
  instance: Type.String(),
  index: Type.Integer(),
  state: Type.String(),
  state_timestamp: Type.Number(),
  file_uri_v2: Text,
  stats: Type.Optional(Type.Object({
    name: Type.String(), uris: Strings, host: Type.String(), port: Type.Integer(), uptime: Type.Integer(),
    mem_quota: Type.Integer(), disk_quota: Type.Integer(), fds_quota: Type.Integer(), usage: Usage,
  })),
});

export const Advertise = Type.Object({
  id: Type.String(),
  stacks: Strings,
  available_memory: Type.Integer(),
  available_disk: Type.Optional(Type.Integer()),
  app_id_to_count: Type.Optional(Counts),
  placement_properties: Type.Optional(Type.Object({ zone: Type.Optional(Type.String()) })),
  url: Text,
});

export const HeartbeatEntry = Type.Object({
  droplet: Guid,
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
});

/** Always the complete list of the executor: what is absent is gone (dea_ng since November 2013). */
export const Heartbeat = Type.Object({ dea: Type.String(), droplets: Type.Array(HeartbeatEntry), prod: Type.Optional(Type.Boolean()) });

export const Exited = Type.Object({
  droplet: Guid,
  version: Type.String(),
  instance: Type.String(),
  index: Type.Integer(),
  reason: Type.Union([Type.Literal("CRASHED"), Type.Literal("STOPPED"), Type.Literal("DEA_SHUTDOWN"), Type.Literal("DEA_EVACUATION")]),
  cc_partition: Type.Optional(Type.String()),
  exit_status: Type.Optional(Type.Integer()),
  exit_description: Type.Optional(Type.String()),
  crash_timestamp: Type.Optional(Type.Number()),
  dea: Type.Optional(Type.String()),
  log_tail: Type.Optional(Strings),
});

export const deaStart = message("dea.start", Hello, { about: "An executor has come up.", from: "executor", to: "anyone" });
export const deaStartInstance = message("dea.{id}.start", StartMessage, {
  reply: Type.Object({ accepted: Type.Boolean(), reason: Type.Optional(Type.String()) }),
  about: "Start one instance here. Old executors do not answer.", from: "controller", to: "one executor",
});
export const deaStop = message("dea.stop", InstanceFilter, { about: "Stop the instances that the filter names.", from: "controller", to: "every executor" });
export const deaUpdate = message("dea.update", Type.Object({ droplet: Guid, uris: Strings, version: Type.Optional(Type.String()) }), {
  about: "The routes of an app are now these.", from: "controller", to: "every executor",
});
export const deaStatus = message("dea.status", Type.Object({}), { reply: Status, about: "How full is each executor?", from: "tools", to: "every executor" });
export const deaFindDroplet = message("dea.find.droplet", Type.Object({ ...filterFields, include_stats: Type.Optional(Type.Boolean()), path: Text }), {
  reply: FoundInstance, about: "Where are the instances of this app? One answer per instance.", from: "controller", to: "every executor",
});
export const deaAdvertise = message("dea.advertise", Advertise, { about: "Room left on this executor, every 5 s.", from: "executor", to: "controller" });
export const deaLocate = message("dea.locate", Type.Object({}), { bare: true, about: "Executors: advertise now.", from: "controller", to: "every executor" });
export const deaHeartbeat = message("dea.heartbeat", Heartbeat, { about: "Everything that runs on this executor, every 10 s.", from: "executor", to: "health manager, controller" });
export const deaShutdown = message("dea.shutdown", Type.Object({
  id: Type.String(), ip: Type.Optional(Type.String()), version: Type.Optional(Type.String()), app_id_to_count: Type.Optional(Counts),
}), { about: "This executor takes no more work.", from: "executor", to: "controller" });
export const dropletExited = message("droplet.exited", Exited, { about: "An instance has ended.", from: "executor", to: "health manager, controller" });
