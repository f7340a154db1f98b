import { Type } from "@sinclair/typebox";
import { EgressRule, Strings, Text } from "./common.ts";
import { all, each, renamed, textual, type Upgrade } from "./older.ts";

const Environment = Type.Optional(Type.Union([Type.Array(Type.Object({ name: Type.String(), value: Type.String() })), Type.Null()]));
const Rules = Type.Optional(Type.Union([Type.Array(EgressRule), Type.Null()]));
const Count = Type.Optional(Type.Integer({ minimum: 0 }));

/** A variable without a value, as the v2 API takes it. */
const unset: Upgrade = (body) => (body["value"] === null ? { ...body, value: "" } : body);
const olderVariables: Upgrade = each("environment", all(renamed("key", "name"), textual("value"), unset));
export const olderBuild = olderVariables;
export const olderBuildWords = "variables as `{key, value}`; a number or null as value";

/** The controllers of spring 2014 named an app and its version where later ones name a process. */
const processOf2014: Upgrade = (body) => {
  const { app_id: app, app_version: version } = body;
  return body["process_guid"] === undefined && typeof app === "string" && typeof version === "string" ? { ...body, process_guid: `${app}-${version}` } : body;
};
export const olderDesire: Upgrade = all(processOf2014, olderVariables);
export const olderDesireWords = `\`app_id\` and \`app_version\` without \`process_guid\`; ${olderBuildWords}`;

/** A process as Diego should run it (runtime-schema `cc_messages`). Sizes in MB of 2^20 bytes. */
export const DiegoDesire = Type.Object({
  process_guid: Type.String(),
  num_instances: Type.Integer({ minimum: 0 }),
  droplet_uri: Text,
  docker_image: Text,
  stack: Text,
  start_command: Text,
  execution_metadata: Text,
  environment: Environment,
  memory_mb: Count,
  disk_mb: Count,
  file_descriptors: Count,
  routes: Type.Optional(Type.Union([Strings, Type.Null()])),
  log_guid: Text,
  health_check_type: Text,
  health_check_timeout_in_seconds: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  egress_rules: Rules,
  etag: Text,
});

export const DiegoStop = Type.Object({ process_guid: Type.String(), index: Type.Integer({ minimum: 0 }) });

const stagingFields = {
  app_id: Type.String(), task_id: Type.String(), stack: Text, memory_mb: Count, disk_mb: Count, file_descriptors: Count, environment: Environment, egress_rules: Rules,
  timeout: Type.Optional(Type.Integer({ minimum: 0 })), log_guid: Text,
};

/** The links may carry signatures: never log them. */
export const DiegoStaging = Type.Object({
  ...stagingFields,
  app_bits_download_uri: Type.String(),
  droplet_upload_uri: Text,
  build_artifacts_cache_download_uri: Text,
  build_artifacts_cache_upload_uri: Text,
  buildpacks: Type.Optional(Type.Union([Type.Array(Type.Object({ name: Type.Optional(Type.String()), key: Type.String(), url: Type.String() })), Type.Null()])),
});

export const DiegoDockerStaging = Type.Object({ ...stagingFields, docker_image: Type.String() });

export const DiegoStaged = Type.Object({
  app_id: Type.String(),
  task_id: Type.String(),
  buildpack_key: Text,
  detected_buildpack: Text,
  execution_metadata: Text,
  /** By type of process. */
  detected_start_command: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.String(), Type.Null()])),
  error: Type.Optional(Type.Union([Type.Object({ id: Type.Optional(Type.String()), message: Type.String() }), Type.String(), Type.Null()])),
});
