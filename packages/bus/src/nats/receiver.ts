import type { Msg, NatsConnection, Subscription } from "nats";
import { apartMs, createTwice, type Twice } from "./twice.ts";

/** One subscription of ours; over time it may be several of the client's. */
export interface Receiver {
  unsubscribe(): void;
  drain(): Promise<void>;
  renewLimit(): void;
  /** Listens on another connection too, and keeps what comes there. @returns false where there is nothing to move */
  overlap(to: NatsConnection): boolean;
  leave(): Promise<void>;
  arrive(): void;
}

export interface ReceiverOptions {
  pattern: string;
  queue: string | undefined;
  max: number | undefined;
  /** Must not throw. */
  receive: (message: Msg) => void;
  ended: () => void;
}

interface Overlap {
  readonly to: NatsConnection;
  readonly next: Subscription;
  readonly twice: Twice;
}

export function createReceiver(connection: NatsConnection, { pattern, queue, max, receive, ended: tellEnded }: ReceiverOptions): Receiver {
  let left = max ?? Infinity;
  let state: "open" | "draining" | "ended" = "open";
  let at = connection;
  let overlap: Overlap | undefined;
  let drained: Promise<void> | undefined;
  // After a move the new connection may still be behind the old one.
  let behind: { readonly twice: Twice; readonly untilMs: number } | undefined;

  const subscribe = (via: NatsConnection, limit?: number): Subscription => {
    const own: Subscription = via.subscribe(pattern, {
      ...(queue !== undefined && { queue }),
      ...(limit !== undefined && { max: limit }),
      callback(error, message) {
        // An error is a refusal; it comes as an event of the connection too, and the client has ended the subscription.
        if (error) return end();
        if (own === overlap?.next) {
          if (queue !== undefined || !overlap.twice.known(message)) overlap.twice.keep(message);
        } else if (!behind || own !== current || !cameBefore(message)) deliver(message);
      },
    });
    return own;
  };
  let current = subscribe(at, max);

  function deliver(message: Msg): void {
    if (state === "ended" || left <= 0) return;
    if (overlap && queue === undefined) overlap.twice.old(message);
    if (--left === 0) unsubscribe();
    receive(message);
  }
  function cameBefore(message: Msg): boolean {
    if (performance.now() > (behind?.untilMs ?? 0)) behind = undefined;
    return behind?.twice.known(message) === true;
  }
  function end(): void {
    if (state !== "ended") tellEnded();
    state = "ended";
  }
  const quit = (subscription: Subscription | undefined): void => {
    if (subscription && !subscription.isClosed()) subscription.unsubscribe();
  };
  function unsubscribe(): void {
    if (state === "ended") return;
    end();
    quit(current);
    quit(overlap?.next);
    overlap = undefined;
  }
  const finished = (subscription: Subscription): Promise<void> => subscription.drain().catch(() => undefined);
  function arrive(): void {
    if (!overlap) return;
    const { to, next, twice } = overlap;
    overlap = undefined;
    at = to;
    current = next;
    if (queue === undefined) behind = { twice, untilMs: performance.now() + apartMs };
    twice.rest().forEach(deliver);
  }

  return {
    unsubscribe,
    drain() {
      if (state !== "open") return drained ?? Promise.resolve();
      state = "draining";
      tellEnded();
      return (drained = Promise.all([finished(current), overlap && finished(overlap.next)]).then(() => {
        arrive();
        state = "ended";
      }));
    },
    renewLimit() {
      if (max === undefined || at !== connection || overlap) return;
      // In this order: a packet that finds both would come twice.
      quit(current);
      current = subscribe(at, left);
    },
    overlap(to) {
      // In a queue group a limit that two connections share would take packets from the others.
      if (state !== "open" || overlap || at === to || (queue !== undefined && max !== undefined)) return false;
      overlap = { to, next: subscribe(to), twice: createTwice() };
      return true;
    },
    async leave() {
      if (overlap) await finished(current);
    },
    arrive,
  };
}
