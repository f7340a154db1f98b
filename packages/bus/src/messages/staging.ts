import { Type } from "@sinclair/typebox";
import { message } from "../schema.ts";
import { Limits, LogSource } from "./droplet.ts";

const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const Commands = Type.Record(Type.String(), Type.String());

export const StagerAdvertise = Type.Object({
  id: Type.String(), stacks: Type.Array(Type.String()), available_memory: Type.Integer(), available_disk: Type.Optional(Type.Integer()),
});

/** `memory_limit` and `disk_limit` in MB. The URIs may carry signatures: never log them. */
export const StagingRequest = Type.Object({
  app_id: Type.String(),
  task_id: Type.String(),
  stack: Type.Optional(Type.String()),
  properties: Type.Object({
    services: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
    resources: Type.Optional(Limits),
    environment: Type.Optional(Type.Array(Type.String())),
    meta: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    buildpack: Text,
    buildpack_git_url: Text,
    buildpack_key: Text,
    /** Names or URLs in order; empty or absent: detect. */
    buildpacks: Type.Optional(Type.Array(Type.String())),
    vcap_application: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    vcap_services: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  download_uri: Type.String(),
  upload_uri: Type.String(),
  buildpack_cache_download_uri: Text,
  buildpack_cache_upload_uri: Text,
  admin_buildpacks: Type.Optional(Type.Array(Type.Object({ key: Type.String(), url: Type.String(), name: Type.Optional(Type.String()) }))),
  memory_limit: Type.Optional(Type.Integer({ minimum: 1 })),
  disk_limit: Type.Optional(Type.Integer({ minimum: 1 })),
  timeout_seconds: Type.Optional(Type.Integer({ minimum: 1 })),
  egress_network_rules: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Unknown()))),
  log_source: Type.Optional(LogSource),
});

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
    name: Type.String(), command: Type.String(), process_types: Type.Array(Type.String()), memory: Type.Optional(Type.Integer()),
  }))),
  buildpacks: Type.Optional(Type.Array(Type.Object({ key: Type.String(), name: Text, version: Text, detect_output: Text, buildpack_name: Text }))),
  stack: Text,
  execution_metadata: Type.Optional(Type.String()),
  error: Text,
  error_info: Type.Optional(Type.Union([Type.Object({ type: Type.String(), message: Type.String() }), Type.Null()])),
  dea_id: Type.Optional(Type.String()),
});

export const stagingAdvertise = message("staging.advertise", StagerAdvertise, { about: "Room left on this stager, every 5 s.", from: "stager", to: "controller" });
export const stagingLocate = message("staging.locate", Type.Object({}), { bare: true, about: "Stagers: advertise now.", from: "controller", to: "every stager" });
export const stagingStart = message("staging.{id}.start", StagingRequest, {
  reply: Type.Union([StagingDone, StagingSetup]),
  about: "Stage this package. Two answers come on one inbox: set up, then done.", from: "controller", to: "one stager",
});
export const stagingStop = message("staging.stop", Type.Object({ app_id: Type.String(), task_id: Type.Optional(Type.String()) }), {
  about: "Stop staging this app.", from: "controller", to: "every stager",
});
