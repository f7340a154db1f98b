import { Type } from "@sinclair/typebox";
import { message } from "../schema.ts";

export const healthStart = message("healthmanager.start", Type.Object({}), {
  bare: true, about: "The health manager has come up: executors send a heartbeat now.", from: "health manager", to: "every executor",
});
export const hmStart = message("hm9000.start", Type.Object({
  message_id: Type.String(), droplet: Type.String(), version: Type.String(), instance_index: Type.Integer({ minimum: 0 }),
}), { queue: "cc", about: "This instance is missing. The controller checks again before it acts.", from: "health manager", to: "one controller" });
export const hmStop = message("hm9000.stop", Type.Object({
  message_id: Type.String(), droplet: Type.String(), version: Type.String(), instance_guid: Type.String(), instance_index: Type.Integer(), is_duplicate: Type.Boolean(),
}), { queue: "cc", about: "This instance should not be. The controller checks again before it acts.", from: "health manager", to: "one controller" });

/** What should run, in pages: ask again with the last guid of a full page. Our own, in place of the bulk API of the original. */
export const desiredApps = message("opencf.desired", Type.Object({ after: Type.Optional(Type.String()), limit: Type.Integer({ minimum: 1, maximum: 1_000 }) }), {
  reply: Type.Object({
    apps: Type.Array(Type.Object({
      droplet: Type.String(), version: Type.String(), instances: Type.Integer({ minimum: 0 }),
      /** Milliseconds since the epoch of the last change, so that a young app is left alone. */
      updated_at_ms: Type.Number(),
    })),
  }),
  queue: "cc", about: "Which processes should run, with how many instances?", from: "health manager", to: "one controller",
});
