/**
 * What becomes of a message that is published while the bus is away.
 * `drop`: gone and counted. `latest-per-key`: of those with the same subject and the same values of `key` only the last is kept.
 * `buffer`: kept in order, the oldest forgotten beyond `max` or `maxAgeMs`.
 */
export type DisconnectPolicy =
  | { readonly kind: "drop" }
  | { readonly kind: "latest-per-key"; readonly key: readonly string[] }
  | { readonly kind: "buffer"; readonly max: number; readonly maxAgeMs: number };

export const drop: DisconnectPolicy = { kind: "drop" };
/** @param key fields of the body, such as `"dea"`; none: the subject alone */
export const latestPerKey = (...key: string[]): DisconnectPolicy => ({ kind: "latest-per-key", key });
export const buffer = (max: number, maxAgeMs: number): DisconnectPolicy => ({ kind: "buffer", max, maxAgeMs });
