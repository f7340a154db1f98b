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

export const logEnvelopes = message("opencf.log", Type.Object({ envelopes: Type.Array(LogEnvelope, { maxItems: 10_000 }) }), {
  about: "Lines of app output, in batches. The original sends logs beside the bus.",
  from: ["executor", "stager", "router", "controller"], to: ["log-store"], era: "opencf", lane: "bulk", onDisconnect: buffer(200, 30_000),
});
