import { Type } from "@sinclair/typebox";
import { buffer } from "../policy.ts";
import { message } from "../schema.ts";

/** One line of output. `timestamp` is nanoseconds since the epoch as text; `tags.source_type` says who speaks (`APP/PROC/WEB`, `STG`, `API`, `RTR`, `CELL`). */
export const LogEnvelope = Type.Object({
  source_id: Type.String(),
  instance_id: Type.String(),
  timestamp: Type.String({ pattern: "^[0-9]{1,20}$" }),
  tags: Type.Record(Type.String(), Type.String()),
  type: Type.Union([Type.Literal("OUT"), Type.Literal("ERR")]),
  payload: Type.String(),
});

/** What one instance uses. Totals grow while an executor looks after it; `cpu` is cores in use, `memory` what the kernel calls the working set; sizes in bytes. */
export const InstanceMetrics = Type.Object({
  source_id: Type.String(),
  instance_id: Type.String(),
  timestamp: Type.String({ pattern: "^[0-9]{1,20}$" }),
  tags: Type.Record(Type.String(), Type.String()),
  cpu: Type.Number(),
  cpu_ns: Type.Number(),
  memory: Type.Number(),
  memory_quota: Type.Number(),
  disk: Type.Number(),
  disk_quota: Type.Number(),
  age_ms: Type.Number(),
  received_bytes: Type.Optional(Type.Number()),
  sent_bytes: Type.Optional(Type.Number()),
});

export const instanceMetrics = message("opencf.metrics", Type.Object({ samples: Type.Array(InstanceMetrics, { maxItems: 10_000 }) }), {
  about: "What the instances of an executor use, every 30 s. The original sends container metrics beside the bus.",
  from: ["executor"], to: ["log-store"], era: "opencf", lane: "bulk", ttlMs: 60_000,
});

export const logEnvelopes = message("opencf.log", Type.Object({ envelopes: Type.Array(LogEnvelope, { maxItems: 10_000 }) }), {
  about: "Lines of app output, in batches. The original sends logs beside the bus.",
  from: ["executor", "stager", "router", "controller"], to: ["log-store"], era: "opencf", lane: "bulk", onDisconnect: buffer(200, 30_000),
});
