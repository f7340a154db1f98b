import { Type } from "@sinclair/typebox";
import { buffer, latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { Nothing, Text } from "./shapes/common.ts";
import { textual } from "./shapes/older.ts";
import { olderStaging, olderStagingWords, StagerAdvertise, StagingDone, StagingProperties, StagingRequest, StagingSetup } from "./shapes/staging.ts";

export { StagerAdvertise, StagingDone, StagingProperties, StagingRequest, StagingSetup } from "./shapes/staging.ts";

export const staging = message("staging", Type.Object({
  app_id: Type.String(), properties: StagingProperties, download_uri: Type.String(), upload_uri: Type.String(),
}), {
  about: "Stage this package, whoever is free. One answer with the whole log at the end.",
  from: ["controller"], to: ["stager"], queue: "staging", era: "v1-v2a", upgrade: olderStaging, older: olderStagingWords,
  reply: Type.Object({ task_id: Type.String(), task_log: Text, error: Text }), upgradeReply: textual("task_id"), olderReply: "a number as `task_id`",
});
export const stagingAdvertise = message("staging.advertise", StagerAdvertise, {
  about: "Room left on this stager in MB, every 5 s.", from: ["stager"], to: ["controller"], era: "v2a-v2b", ttlMs: 15_000, onDisconnect: latestPerKey("id"),
});
export const stagingLocate = message("staging.locate", Nothing, {
  about: "Stagers: advertise now.", from: ["controller"], to: ["stager"], codec: "none", era: "v2a-v2b",
});
export const stagingStart = message("staging.{id}.start", StagingRequest, {
  about: "Stage this package. Two answers come on one inbox: set up, then done.",
  from: ["controller"], to: ["stager"], era: "v2a-v2c", id: "task_id", upgrade: olderStaging, older: olderStagingWords,
  reply: Type.Union([StagingDone, StagingSetup]),
});
export const stagingStop = message("staging.stop", Type.Object({ app_id: Type.String(), task_id: Type.Optional(Type.String()) }), {
  about: "Stop staging this app; with `task_id` only that task.",
  from: ["controller"], to: ["stager"], era: "v2a-v2c", onDisconnect: buffer(1_000, 60_000), upgrade: textual("app_id", "task_id"), older: "a number as `app_id`",
});
export const buildpacksChanged = message("buildpacks", Type.Array(Type.Object({ key: Type.String(), url: Type.String() })), {
  about: "Buildpacks to fetch before anybody asks for them.", from: ["controller"], to: ["stager"], era: "v2a-v2b", onDisconnect: latestPerKey(),
});
