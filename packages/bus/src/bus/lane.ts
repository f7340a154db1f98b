import type { Clock } from "../ports.ts";
import type { Transport } from "../transport.ts";
import type { Counting } from "./counters.ts";
import { createMux, type Mux } from "./mux.ts";
import { createOutbox, type Outbox } from "./outbox.ts";

/** One connection with what belongs to it: control traffic has one, bulk traffic may have another. */
export interface Lane extends Disposable {
  readonly transport: Transport;
  readonly outbox: Outbox;
  readonly mux: Mux;
}

export interface LaneOptions {
  clock: Clock;
  counting: Counting;
  nextId: () => string;
  resumeAfterMs?: number | undefined;
}

export function createLane(transport: Transport, { clock, counting, nextId, resumeAfterMs }: LaneOptions): Lane {
  const outbox = createOutbox({ transport, clock, lost: counting.count, ...(resumeAfterMs !== undefined && { resumeAfterMs }) });
  const mux = createMux(transport, nextId);
  return {
    transport,
    outbox,
    mux,
    [Symbol.dispose]() {
      mux[Symbol.dispose]();
      outbox[Symbol.dispose]();
    },
  };
}
