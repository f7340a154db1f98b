import { Type } from "@sinclair/typebox";
import { HeartbeatEntry } from "./instance.ts";

/** One generation of an app. */
export const AppVersion = Type.Object({ droplet: Type.String(), version: Type.String() });

const Versions = Type.Record(Type.String(), Type.Integer());

/** What a health manager of v1 or v2a wants done. `last_updated` is compared for equality; `indices` are missing, `instances` too many. */
export const HmRequest = Type.Union([
  Type.Object({
    droplet: Type.String(), op: Type.Literal("START"), last_updated: Type.Optional(Type.Number()), version: Type.String(), indices: Type.Array(Type.Integer()),
    flapping: Type.Optional(Type.Boolean()),
  }),
  Type.Object({ droplet: Type.String(), op: Type.Literal("STOP"), last_updated: Type.Optional(Type.Number()), instances: Type.Array(Type.String()) }),
]);

/** `running` counts instances by version. */
export const StartInstances = Type.Object({ droplet: Type.String(), version: Type.String(), indices: Type.Array(Type.Integer()), running: Type.Optional(Versions) });
/** `instances` gives the version of each instance. */
export const StopInstances = Type.Object({ droplet: Type.String(), instances: Type.Record(Type.String(), Type.String()), running: Type.Optional(Versions) });

/** `since` is seconds since the epoch. */
export const Troubles = Type.Union([
  Type.Object({ indices: Type.Array(Type.Object({ index: Type.Integer(), since: Type.Number() })) }),
  Type.Object({ instances: Type.Array(Type.Object({ instance: Type.String(), since: Type.Number() })) }),
]);

/** What HM9000 knows of one app; all absent where it knows nothing or nothing fresh. `created_at` is seconds since the epoch. */
export const AppState = Type.Object({
  droplet: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  instance_heartbeats: Type.Optional(Type.Array(Type.Composite([HeartbeatEntry, Type.Object({ dea_guid: Type.Optional(Type.String()) })]))),
  crash_counts: Type.Optional(Type.Array(Type.Object({
    droplet: Type.String(), version: Type.String(), instance_index: Type.Integer(), crash_count: Type.Integer(), created_at: Type.Integer(),
  }))),
});
