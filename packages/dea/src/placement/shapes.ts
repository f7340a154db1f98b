/** A shared runtime that stands on a host, such as `{ name: "node", version: "20.19.2" }`. */
export interface RuntimeOffer {
  readonly name: string;
  readonly version?: string;
}

/**
 * A runtime that a droplet needs from its host. `version` may be the beginning of one: `20` is answered by `20.19.2`, not by
 * `2.0` or `200.1`. Without it any version will do.
 */
export interface RuntimeWish {
  readonly name: string;
  readonly version?: string;
}

/**
 * Room on a host, in bytes. Either as hosts advertise it: what is free, overcommit already counted in (below zero is allowed: a
 * host that came back smaller), and the size where the host tells it. Or as a table has it: size and what is promised, and by
 * which factor more than the size may be promised (default 1, fractions allowed).
 */
export type Room =
  | { readonly freeBytes: number; readonly totalBytes?: number }
  | { readonly totalBytes: number; readonly reservedBytes: number; readonly overcommit?: number };

/** One host of a snapshot. */
export interface PlacementHost {
  /** Unique in the snapshot. */
  readonly id: string;
  /** What fails together: a rack, a building. Default `default`. */
  readonly zone?: string;
  /** Isolation segment: such a host takes only apps that ask for this very pool. Default: none, the pool that all share. */
  readonly pool?: string;
  /** Default none. */
  readonly stacks?: readonly string[];
  /** Default none. */
  readonly runtimes?: readonly RuntimeOffer[];
  /** Limits that hold there against an app that tries to break them, such as `memory`, `egress`. Default none. */
  readonly enforces?: readonly string[];
  readonly memory: Room;
  /** Absent: not told, counts as enough. */
  readonly disk?: Room;
  /** How many instances more it takes, whatever their size. Default: no limit. */
  readonly freeInstances?: number;
  /** Instances that are there, by app. */
  readonly instances?: Readonly<Record<string, number>>;
}

/** One instance that wants a host. */
export interface PlacementRequest {
  /** Whose instances are spread: the same name as in {@link PlacementHost.instances}. */
  readonly app: string;
  readonly memoryBytes: number;
  /** Default 0. */
  readonly diskBytes?: number;
  /** Default: any. */
  readonly stack?: string;
  /** Isolation segment. Default: the pool that all share. */
  readonly pool?: string;
  /** All of them must be there. Default none. */
  readonly runtimes?: readonly RuntimeWish[];
  /** Limits that must hold: all of them must be in the host's `enforces`. Default none. */
  readonly requires?: readonly string[];
  /**
   * What comes first where both cannot be had, because a zone has fewer hosts than the others: equal zones, or no host with two
   * instances of the app. Default `zone`.
   */
  readonly spreadFirst?: "zone" | "host";
}

/** The zone of hosts that name none. */
export const defaultZone = "default";
