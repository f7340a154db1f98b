import { silentLogger, systemClock, type Clock, type Logger } from "../ports.ts";
import type { RouteTable } from "./route-table.ts";

export interface PrunerOptions {
  /** Time between sweeps. Default 30 000 ms. */
  sweepIntervalMs?: number;
  /** Only endpoints of this source. Default: all. */
  source?: string;
  /** Says that the source of registrations is out of reach. Default: never. */
  suspended?: () => boolean;
  clock?: Clock;
  log?: Logger;
}

const sliceMs = 4;

/**
 * Takes endpoints out of the table whose last registration is older than their `staleAfterMs`.
 * Does nothing while suspended: silence then says nothing about the apps, and an empty table
 * would turn an outage of the bus into an outage of every app. The first sweep after that
 * gives everybody a full new term, since registrations need time to come in again.
 */
export function createPruner(table: RouteTable, options: PrunerOptions = {}): Disposable {
  const { sweepIntervalMs = 30_000, source, suspended = () => false, clock = systemClock, log = silentLogger } = options;
  const filter = source === undefined ? {} : { source };
  let wasSuspended = false;
  let slice: Disposable | undefined;
  let timer = clock.after(sweepIntervalMs, sweep);

  function sweep(): void {
    timer = clock.after(sweepIntervalMs, sweep);
    if (suspended()) {
      if (!wasSuspended) log.warn("router.prune.suspended", filter);
      wasSuspended = true;
      return;
    }
    if (wasSuspended) {
      wasSuspended = false;
      table.refreshAll(filter);
      log.info("router.prune.resumed", filter);
      return;
    }
    goOn(table.sweep(filter), 0);
  }

  /** A few milliseconds at a time: requests come between. */
  function goOn(steps: Generator<number, void>, sofar: number): void {
    const begun = performance.now();
    let pruned = sofar;
    for (let step = steps.next(); step.done !== true; step = steps.next()) {
      pruned += step.value;
      if (performance.now() - begun < sliceMs) continue;
      slice = clock.after(0, () => goOn(steps, pruned));
      return;
    }
    if (pruned > 0) log.info("router.prune.removed", { ...filter, endpoints: pruned });
  }

  return {
    [Symbol.dispose]() {
      timer[Symbol.dispose]();
      slice?.[Symbol.dispose]();
    },
  };
}
