import type { PlacementRefusal } from "./refusal.ts";

/** Room that is kept for an instance. Each method settles it once; after that, or when it has run out, they do nothing. */
export interface Reservation {
  readonly id: string;
  readonly host: string;
  /** Still takes room from the host. */
  readonly open: boolean;
  /** The host took it: the room stays taken until the host's own numbers show it. */
  accept(): void;
  /** The instance does not come. */
  release(): void;
  /** The host had no room after all: until it advertises again nothing as large is sent there. */
  full(): void;
}

export type Reserved =
  | { readonly ok: true; readonly host: string; readonly reservation: Reservation }
  | { readonly ok: false; readonly refusal: PlacementRefusal };
