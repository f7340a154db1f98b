import { Type } from "@sinclair/typebox";
import { EgressRule, Fields, Strings, Text } from "./common.ts";
import { Limits, LogSource, olderStart, StartMessage } from "./instance.ts";
import { absent, all, renamed, textual, type Upgrade, within } from "./older.ts";

const Commands = Type.Record(Type.String(), Type.String());

export const StagerAdvertise = Type.Object({
  id: Type.String(), stacks: Strings, available_memory: Type.Number(), available_disk: Type.Optional(Type.Number()),
});

/** `memory` says what `mem` says: stagers of the original read only that name. */
const Resources = Type.Composite([Limits, Type.Object({ memory: Type.Optional(Type.Integer()) })]);

export const StagingProperties = Type.Object({
  services: Type.Optional(Type.Array(Fields)),
  resources: Type.Optional(Resources),
  /** `K=V`, split at the first `=`. */
  environment: Type.Optional(Strings),
  /** `command` is the start command that the developer gave. */
  meta: Type.Optional(Fields),
  buildpack: Text,
  buildpack_git_url: Text,
  buildpack_key: Text,
  /** Names or URLs in order; empty or absent: detect. */
  buildpacks: Type.Optional(Strings),
  vcap_application: Type.Optional(Fields),
  vcap_services: Type.Optional(Fields),
  framework: Text,
  runtime: Text,
});

/** `memory_limit` and `disk_limit` in MB. The URIs may carry signatures: never log them. */
export const StagingRequest = Type.Object({
  app_id: Type.String(),
  task_id: Type.String(),
  stack: Type.Optional(Type.String()),
  properties: StagingProperties,
  download_uri: Type.String(),
  upload_uri: Type.String(),
  buildpack_cache_download_uri: Text,
  buildpack_cache_upload_uri: Text,
  /** What a dea_ng that has staged the app starts by itself, as instance 0. */
  start_message: Type.Optional(Type.Union([StartMessage, Type.Null()])),
  admin_buildpacks: Type.Optional(Type.Array(Type.Object({ key: Type.String(), url: Type.String(), name: Type.Optional(Type.String()) }))),
  memory_limit: Type.Optional(Type.Integer({ minimum: 1 })),
  disk_limit: Type.Optional(Type.Integer({ minimum: 1 })),
  timeout_seconds: Type.Optional(Type.Integer({ minimum: 1 })),
  egress_network_rules: Type.Optional(Type.Array(EgressRule)),
  /** The result may be posted to the controller instead of answered. */
  accepts_http: Type.Optional(Type.Boolean()),
  log_source: Type.Optional(LogSource),
});

const olderProperties = within("properties", within("resources", renamed("memory", "mem")));
export const olderStaging: Upgrade = all(textual("app_id", "task_id"), absent("stack"), olderProperties, within("start_message", olderStart));
export const olderStagingWords = "a number as `app_id`; null as `stack`; `resources.memory` without `mem` is `mem`";

/** The first answer: the task has been set up, or why not. */
export const StagingSetup = Type.Object({ task_id: Type.String(), task_streaming_log_url: Text, error: Text });

/** The last answer. */
export const StagingDone = Type.Object({
  task_id: Type.String(),
  app_id: Type.String(),
  detected_buildpack: Text,
  buildpack_key: Text,
  droplet_sha1: Text,
  droplet_sha256: Text,
  droplet_size_bytes: Type.Optional(Type.Integer()),
  detected_start_command: Text,
  procfile: Type.Optional(Type.Union([Commands, Type.Null()])),
  process_types: Type.Optional(Commands),
  sidecars: Type.Optional(Type.Array(Type.Object({
    name: Type.String(), command: Type.String(), process_types: Strings, memory: Type.Optional(Type.Integer()),
  }))),
  buildpacks: Type.Optional(Type.Array(Type.Object({ key: Type.String(), name: Text, version: Text, detect_output: Text, buildpack_name: Text }))),
  stack: Text,
  execution_metadata: Type.Optional(Type.String()),
  error: Text,
  error_info: Type.Optional(Type.Union([Type.Object({ type: Type.String(), message: Type.String() }), Type.Null()])),
  dea_id: Type.Optional(Type.String()),
});
