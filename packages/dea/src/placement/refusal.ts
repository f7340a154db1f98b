import type { RuntimeWish } from "./shapes.ts";

/** A host that was asked and did not take the instance. */
export interface Attempt {
  readonly host: string;
  readonly reason: string;
}

interface Common {
  /** One sentence with the numbers, for people. */
  readonly text: string;
  /** Hosts in the snapshot. */
  readonly hosts: number;
  /** Hosts that met every condition before the one that failed: pool, stack, runtimes, required limits, memory, disk, in this order. */
  readonly considered: number;
}

/** Why no host was found. The code is of the first condition that no host met; the numbers belong to it. */
export type PlacementRefusal = Common & (
  | { readonly code: "no-hosts" }
  | { readonly code: "no-pool"; readonly pool: string | undefined }
  | { readonly code: "no-stack"; readonly stack: string }
  | { readonly code: "no-runtime"; readonly runtimes: readonly RuntimeWish[] }
  | { readonly code: "no-limits"; readonly requires: readonly string[] }
  | { readonly code: "no-memory" | "no-disk"; readonly askedBytes: number; readonly mostBytes: number }
  /** Hosts with room, all of them at their limit of instances. */
  | { readonly code: "no-instances" }
  /** Only hosts fit that the caller has left out. */
  | { readonly code: "left-out" }
  /** Every host that was asked refused. */
  | { readonly code: "refused"; readonly tried: readonly Attempt[] }
  /** More promises are open than the placer keeps. */
  | { readonly code: "too-many-open"; readonly open: number }
);

export type RefusalCode = PlacementRefusal["code"];

export const refusedByAll = (hosts: number, tried: readonly Attempt[]): PlacementRefusal =>
  ({ code: "refused", text: `every host that was asked refused: ${tried.map(({ host, reason }) => `${host}: ${reason}`).join("; ")}`, hosts, considered: tried.length, tried });

export const tooManyOpen = (hosts: number, open: number): PlacementRefusal =>
  ({ code: "too-many-open", text: `${open} promises wait to be confirmed: try again when some have been`, hosts, considered: 0, open });
