import { Type } from "@sinclair/typebox";
import { buffer } from "../policy.ts";
import { message } from "../schema.ts";
import { Nothing } from "./shapes/common.ts";
import { AppState, AppVersion, HmRequest, StartInstances, StopInstances, Troubles } from "./shapes/health.ts";
import { absent, each, eachValue, textual } from "./shapes/older.ts";

export { AppState, AppVersion, HmRequest, StartInstances, StopInstances, Troubles } from "./shapes/health.ts";

const number = { upgrade: textual("droplet", "version"), older: "a number as `droplet`" } as const;
/** HM9000 writes null for a list that it does not have (`models/app.go`). */
const nulls = absent("instance_heartbeats", "crash_counts");
const nullWords = "null as a list that is not known";
const unknown = { one: { upgradeReply: nulls, olderReply: nullWords }, all: { upgradeReply: eachValue(nulls), olderReply: nullWords } } as const;
/** One of the controllers takes it; what is a minute old the health manager says again. */
const order = { from: ["health-manager"], to: ["controller"], queue: "cc", onDisconnect: buffer(1_000, 60_000) } as const;

export const healthStart = message("healthmanager.start", Nothing, {
  about: "The health manager has come up: executors send a heartbeat now.", from: ["health-manager"], to: ["executor"], codec: "none", era: "v1-v2a",
});
export const healthStatus = message("healthmanager.status", Type.Object({
  droplet: Type.String(), version: Type.Optional(Type.String()), state: Type.Union([Type.Literal("FLAPPING"), Type.Literal("CRASHED")]),
}), {
  about: "Which indices of this app flap, or which instances have crashed? No answer for an unknown app: show that as unknown.",
  from: ["controller"], to: ["health-manager"], era: "v1-v2a", lane: "bulk", reply: Troubles, ...number,
});
export const healthHealth = message("healthmanager.health", Type.Object({ droplets: Type.Array(Type.Object({ droplet: Type.String(), version: Type.Optional(Type.String()) })) }), {
  about: "How many instances of these apps are well? One answer per known app.",
  from: ["controller"], to: ["health-manager"], era: "v1-v2a", lane: "bulk", upgrade: each("droplets", number.upgrade), older: number.older,
  reply: Type.Object({ droplet: Type.String(), version: Type.Optional(Type.String()), healthy: Type.Integer() }), upgradeReply: number.upgrade, olderReply: number.older,
});
export const hmRequests = message("cloudcontrollers.hm.requests", HmRequest, {
  about: "Start these indices, or stop these instances. The controller looks at its own data first.", era: "v1-v2a", ...order, ...number,
});
export const hmRequestsIn = message("cloudcontrollers.hm.requests.{partition}", HmRequest, {
  about: "The same, to the controllers of one partition.", era: "v2a", ...order, ...number,
});
export const healthStartInstances = message("health.start", StartInstances, {
  about: "Start these indices of an app.", era: "v2a", ...order, ...number,
});
export const healthStop = message("health.stop", StopInstances, {
  about: "Stop these instances of an app.", era: "v2a", ...order, ...number,
});
export const hmStart = message("hm9000.start", Type.Object({
  message_id: Type.String(), droplet: Type.String(), version: Type.String(), instance_index: Type.Integer({ minimum: 0 }),
}), { about: "This instance is missing. The controller checks again before it acts.", era: "v2b", id: "message_id", ...order });
export const hmStop = message("hm9000.stop", Type.Object({
  message_id: Type.String(), droplet: Type.String(), version: Type.String(), instance_guid: Type.String(), instance_index: Type.Integer(), is_duplicate: Type.Boolean(),
}), { about: "This instance should not be. The controller checks again before it acts.", era: "v2b", id: "message_id", ...order });
export const appState = message("app.state", AppVersion, {
  about: "What runs of this app, and how often did it crash? `{}` where nothing fresh is known.", from: ["controller"], to: ["health-manager"], era: "v2b", lane: "bulk", reply: AppState,
  ...unknown.one,
});
export const appStateBulk = message("app.state.bulk", Type.Array(AppVersion), {
  about: "The same for up to 50 apps; the answer has an entry per guid.", from: ["controller"], to: ["health-manager"], era: "v2b", lane: "bulk",
  reply: Type.Record(Type.String(), AppState), ...unknown.all,
});

const BulkCredentials = Type.Object({ user: Type.String(), password: Type.String() });
export const bulkCredentials = message("cloudcontroller.bulk.credentials", Nothing, {
  about: "Who may fetch the desired state over HTTP? Asked before each fetch.", from: ["health-manager"], to: ["controller"], codec: "none", era: "v1-v2b", reply: BulkCredentials,
});
export const bulkCredentialsIn = message("cloudcontroller.bulk.credentials.{partition}", Nothing, {
  about: "The same, asked of the controllers of one partition.", from: ["health-manager"], to: ["controller"], codec: "none", era: "v2a-v2b", reply: BulkCredentials,
});

/** What should run, in pages: ask again with the last guid of a full page. Our own, in place of the bulk API of the original. */
export const desiredApps = message("opencf.desired", Type.Object({ after: Type.Optional(Type.String()), limit: Type.Integer({ minimum: 1, maximum: 1_000 }) }), {
  about: "Which processes should run, with how many instances?", from: ["health-manager"], to: ["controller"], queue: "cc", era: "opencf",
  reply: Type.Object({
    apps: Type.Array(Type.Object({
      droplet: Type.String(), version: Type.String(), instances: Type.Integer({ minimum: 0 }),
      /** Milliseconds since the epoch of the last change, so that a young app is left alone. */
      updated_at_ms: Type.Number(),
    })),
  }),
});
