import { Type } from "@sinclair/typebox";
import { buffer, latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { Counts, EgressRule, Nothing, Strings, Text } from "./shapes/common.ts";
import {
  Advertise, Exited, filterFields, FoundInstance, Heartbeat, Hello, InstanceFilter, Limits, olderExited, olderExitedWords, olderFilter, olderFilterWords, olderHeartbeat, olderHeartbeatWords,
  olderStart, olderStartWords, StartMessage, Stats, Status,
} from "./shapes/instance.ts";
import { absent, all, defaulted, textual } from "./shapes/older.ts";

export {
  Advertise, Exited, FoundInstance, Heartbeat, HeartbeatEntry, Hello, InstanceFilter, Limits, LogSource, StartMessage, Stats, Status, Usage,
} from "./shapes/instance.ts";

/** Of all controllers one records a crash: the group in which they listen to `droplet.exited`. Health managers listen without a group. */
export const crashQueue = "crash_event_registration";

const versionWords = "a number as `version`";
const dropletWords = "a number as `droplet`";

export const deaStart = message("dea.start", Hello, {
  about: "An executor has come up.", from: ["executor"], to: ["tool"], era: "v1-v2b", onDisconnect: latestPerKey("id"),
  upgrade: textual("version"), older: versionWords,
});
export const deaStartInstance = message("dea.{id}.start", StartMessage, {
  about: "Start one instance here. Executors of the original do not answer.", from: ["controller"], to: ["executor"], era: "v1-v2c", id: "command_id",
  // The code tells a lack of room from a command that is wrong wherever it goes.
  reply: Type.Object({ accepted: Type.Boolean(), reason: Type.Optional(Type.String()), code: Type.Optional(Type.String()) }), upgrade: olderStart, older: olderStartWords,
});
export const deaStop = message("dea.stop", InstanceFilter, {
  about: "Stop the instances that the filter names. Every executor hears it and looks for its own.",
  from: ["controller"], to: ["executor"], era: "v1-v2c", onDisconnect: buffer(1_000, 60_000), upgrade: olderFilter, older: olderFilterWords,
});
export const deaUpdate = message("dea.update", Type.Object({
  droplet: Type.String(), uris: Strings, version: Type.Optional(Type.String()), egress_network_rules: Type.Optional(Type.Array(EgressRule)),
}), {
  about: "The routes of an app are now these; a new `version` makes its instances ones of a new generation, new rules hold at once, also for open connections.",
  from: ["controller"], to: ["executor"], era: "v1-v2c", onDisconnect: latestPerKey("droplet"),
  upgrade: textual("droplet", "version"), older: `${dropletWords}; v1 sent a whole start message`,
});
export const deaStatus = message("dea.status", Nothing, {
  about: "How full is each executor?", from: ["tool"], to: ["executor"], era: "v1-v2c", lane: "bulk",
  reply: Status, upgradeReply: textual("version"), olderReply: versionWords,
});
export const deaDiscover = message("dea.discover", Type.Object({
  droplet: Type.String(), limits: Type.Optional(Type.Partial(Limits)), name: Type.Optional(Type.String()), runtime: Text, sha: Text,
}), {
  about: "Who has room for this? The first answer wins: a loaded executor answers later, a full one not at all.",
  from: ["controller"], to: ["executor"], era: "v1-v2a", upgrade: textual("droplet"), older: dropletWords,
  reply: Hello, upgradeReply: textual("version"), olderReply: versionWords,
});
export const deaFindDroplet = message("dea.find.droplet", Type.Object({ ...filterFields, include_stats: Type.Optional(Type.Boolean()), path: Text }), {
  about: "Where are the instances of this app? One answer per instance; who has none is silent.",
  from: ["controller"], to: ["executor"], era: "v1-v2c", lane: "bulk", upgrade: olderFilter, older: olderFilterWords,
  reply: FoundInstance, upgradeReply: textual("droplet", "version"), olderReply: dropletWords,
});
export const deaAdvertise = message("dea.advertise", Advertise, {
  about: "Room left on this executor, every 5 s.", from: ["executor"], to: ["controller", "health-manager"], era: "v1-v2c",
  ttlMs: 15_000, onDisconnect: latestPerKey("id"), upgrade: defaulted({ stacks: [] }), older: "`{id, available_memory, runtimes}` of v1: no stacks",
});
export const deaLocate = message("dea.locate", Nothing, {
  about: "Executors: advertise now.", from: ["controller"], to: ["executor"], era: "v1-v2b", codec: "none",
});
export const deaHeartbeat = message("dea.heartbeat", Heartbeat, {
  about: "Everything that runs on this executor, every 10 s and at once when something has begun to run.",
  from: ["executor"], to: ["health-manager", "controller"], era: "v1-v2b", ttlMs: 30_000, onDisconnect: latestPerKey("dea"),
  upgrade: olderHeartbeat, older: `${olderHeartbeatWords}; before November 2013 a list of one entry may be news of that one only`,
});
export const deaShutdown = message("dea.shutdown", Type.Object({
  id: Type.String(), ip: Type.Optional(Type.String()), version: Type.Optional(Type.String()), app_id_to_count: Type.Optional(Counts),
}), {
  about: "This executor takes no more work.", from: ["executor"], to: ["controller", "health-manager"], era: "v2a-v2c",
  onDisconnect: buffer(16, 60_000), upgrade: textual("version"), older: versionWords,
});
export const dropletExited = message("droplet.exited", Exited, {
  about: `An instance has ended. Controllers that record crashes share the group \`${crashQueue}\`.`,
  from: ["executor"], to: ["health-manager", "controller"], era: "v1-v2c", onDisconnect: buffer(10_000, 900_000),
  upgrade: olderExited, older: olderExitedWords,
});
export const dropletUpdated = message("droplet.updated", Type.Object({ droplet: Type.String(), cc_partition: Type.Optional(Type.String()) }), {
  about: "What is wanted of this app has changed.", from: ["controller"], to: ["health-manager"], era: "v1-v2a",
  onDisconnect: latestPerKey("droplet"), upgrade: all(textual("droplet"), absent("cc_partition")), older: `${dropletWords}; null as \`cc_partition\``,
});
export const dropletStatus = message("droplet.status", Nothing, {
  about: "What does every instance use? One answer for each that starts or runs.", from: ["tool"], to: ["executor"], era: "v1-v2a", lane: "bulk",
  // Executors of 2012 and 2013 knew no more than this of themselves (dea_ng `DropletStatusResponse`).
  reply: Type.Composite([Type.Pick(Stats, ["name", "uris"]), Type.Partial(Type.Omit(Stats, ["name", "uris"]))]),
});
