import type { Role } from "../schema.ts";

/** Who is there, told by everybody. */
const presence = "presence";
/** Who leads, of those of which one acts. */
const leases = "leases";

const leaders: readonly Role[] = ["controller", "health-manager"];

export const bucketsOf = (role: Role): readonly string[] => (role === "tool" ? [presence] : leaders.includes(role) ? [leases, presence] : [presence]);

/** What reading, writing, watching and making one bucket publishes to (ADR-8, ADR-17). Removing the bucket as a whole is not among it. */
export const stateSubjects = (bucket: string): readonly string[] => [
  `$KV.${bucket}.>`,
  `$JS.API.STREAM.INFO.KV_${bucket}`,
  `$JS.API.STREAM.CREATE.KV_${bucket}`,
  `$JS.API.STREAM.MSG.GET.KV_${bucket}`,
  `$JS.API.CONSUMER.CREATE.KV_${bucket}`,
  `$JS.API.CONSUMER.DELETE.KV_${bucket}.>`,
  `$JS.FC.KV_${bucket}.>`,
];
