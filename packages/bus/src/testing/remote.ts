import { BusError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { Connection } from "./connection.ts";
import type { FaultPlan } from "./faults.ts";
import { type Islands, storeName } from "./islands.ts";
import type { Network } from "./network.ts";
import type { TraceRecorder } from "./trace.ts";

/** How long a call to the shared state waits for its answer, as the JetStream client does. */
const answerMs = 5_000;
/** How often somebody who follows the shared state looks whether it is in reach again. */
const reachMs = 500;

export interface RemoteParts {
  readonly connection: Connection;
  /** The clock of the node: its deadlines wait while it is paused. */
  readonly clock: Clock;
  readonly network: Network;
  readonly plan: FaultPlan;
  readonly islands: Islands;
  readonly trace: TraceRecorder;
}

/** The way from one node to the shared state. The question or the answer may get lost: then the caller does not know whether it was done. */
export interface Remote {
  /** @throws BusError `BUS_TIMEOUT`, `BUS_DISCONNECTED`, `BUS_CLOSED`, and what the call itself throws */
  call<T>(what: string, run: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Says something without waiting. */
  tell(what: string, run: () => void): void;
  /** One way from the shared state to the node. @returns false when it got lost */
  bring(what: string): Promise<boolean>;
  /** Resolves after the time between two looks. */
  pause(): Promise<void>;
}

export function createRemote({ connection: { peer, transport, wait }, clock, network, plan, islands, trace }: RemoteParts): Remote {
  const { name } = peer;
  const passes = (from: string, to: string, subject: string): boolean => {
    const cut = !islands.hears(from, to);
    if (!cut && !plan.strikes("drop", { from, to, n: plan.nextOn(from, to), subject })) return true;
    trace.add({ event: cut ? "cut" : "drop", from, to, subject });
    return false;
  };
  return {
    call: (what, run, signal) => wait((done, fail) => {
      const late = clock.after(answerMs, () => fail(new BusError("BUS_TIMEOUT", `no answer to ${what} within ${answerMs} ms`, { retryable: true })));
      const answer = (note: string, give: () => void): void => {
        trace.add({ event: "store", from: name, to: storeName, subject: what, note });
        network.down(peer, storeName, () => {
          if (!passes(storeName, name, what)) return;
          late[Symbol.dispose]();
          give();
        });
      };
      network.up(peer, () => {
        if (!passes(name, storeName, what)) return;
        run().then(
          (value) => answer(shown(value), () => done(value)),
          (error: unknown) => answer(error instanceof BusError ? error.code : String(error), () => fail(error)),
        );
      });
    }, signal),
    tell: (what, run) => {
      if (transport.status === "connected") network.up(peer, () => passes(name, storeName, what) && run());
    },
    bring: (what) => new Promise((resolve) => {
      if (transport.status !== "connected") return resolve(false);
      network.down(peer, storeName, () => resolve(passes(storeName, name, what)), () => resolve(false));
    }),
    pause: () => new Promise((done) => void clock.after(reachMs, done)),
  };
}

const shown = (value: unknown): string => {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "object" && value !== null && "revision" in value) return `revision ${String(value.revision)}`;
  return value === undefined ? "done" : "";
};
