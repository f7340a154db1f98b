import type { Clock } from "../ports.ts";
import type { RouteTable } from "../table/types.ts";
import { createFingerprints } from "./fingerprint.ts";
import { Lot } from "./lot.ts";

/**
 * Knows registrations that repeat earlier ones byte for byte, as 99 of 100 do, and renews what they stand for without reading them.
 *
 * What is known is kept in two lots: messages of late, and those before. Whatever comes again moves to the first; every `keepMs` the second is
 * forgotten and the first takes its place. So what has fallen silent goes, and nobody has to look for it.
 */
export interface Repeats {
  /** Renews the routes of this message. Gives how many; 0 when it is not known, or does not stand any more: then `learn` may follow, for this very message. */
  renew(bytes: Uint8Array): number;
  /** The message that was looked at last, with so many routes, has changed nothing. `mark` marks one of them and gives its place. */
  learn(routes: number, mark: (index: number, token: number) => number | undefined): void;
}

export interface RepeatsOptions {
  readonly table: Pick<RouteTable, "renew" | "routeCount">;
  readonly keepMs: number;
  readonly clock: Pick<Clock, "now">;
}

export function createRepeats({ table, keepMs, clock }: RepeatsOptions): Repeats {
  const fingerprint = createFingerprints();
  let late = new Lot();
  let before = new Lot();
  let turnMs = clock.now() + keepMs;
  let asked = 0;
  let low = 0;
  let high = 0;
  let routes = 0;

  function turn(): void {
    const now = clock.now();
    if (now < turnMs) return;
    before = late;
    late = new Lot();
    turnMs = now + keepMs;
  }

  /** Each route of a message has an entry: the low half counts on, the high half is the token of all. */
  function placeOf(index: number): number {
    const at = low + index | 0;
    let place = late.get(at, high);
    routes = late.routes;
    if (place >= 0) return place;
    place = before.get(at, high);
    routes = before.routes;
    if (place >= 0) late.set(at, high, { place, routes });
    return place;
  }

  return {
    renew(bytes) {
      // The time is asked for now and then only: it would be a tenth of what all this costs.
      if ((asked = asked + 1 & 0x3ff) === 0) turn();
      ({ low, high } = fingerprint(bytes));
      let place = placeOf(0);
      for (let count = 0; place >= 0 && table.renew(place, high); place = placeOf(count)) if ((count += 1) === routes) return count;
      return 0;
    },

    learn(count, mark) {
      // Who writes something new into each message would fill all memory with messages that never come again.
      if (late.size + count > 1_024 + table.routeCount * 2) return;
      for (let index = 0; index < count; index += 1) {
        const place = mark(index, high);
        if (place !== undefined) late.set(low + index | 0, high, { place, routes: count });
      }
    },
  };
}
