import type { Msg, NatsConnection, Subscription } from "nats";

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

/** What the next connection has brought, and what the present one has delivered meanwhile. */
interface Overlap {
  readonly to: NatsConnection;
  readonly next: Subscription;
  readonly kept: Msg[];
  readonly delivered: Map<string, number>;
}

export function createReceiver(connection: NatsConnection, { pattern, queue, max, receive, ended: tellEnded }: ReceiverOptions): Receiver {
  let left = max ?? Infinity;
  let state: "open" | "draining" | "ended" = "open";
  let at = connection;
  let overlap: Overlap | undefined;
  let drained: Promise<void> | undefined;

  const subscribe = (via: NatsConnection, limit?: number): Subscription => {
    const own: Subscription = via.subscribe(pattern, {
      ...(queue !== undefined && { queue }),
      ...(limit !== undefined && { max: limit }),
      callback(error, message) {
        // An error is a refusal; it comes as an event of the connection too, and the client has ended the subscription.
        if (error) return end();
        if (own === overlap?.next) overlap.kept.push(message);
        else deliver(message);
      },
    });
    return own;
  };
  let current = subscribe(at, max);

  function deliver(message: Msg): void {
    if (state === "ended" || left <= 0) return;
    if (overlap && queue === undefined) {
      const print = fingerprint(message);
      overlap.delivered.set(print, (overlap.delivered.get(print) ?? 0) + 1);
    }
    if (--left === 0) unsubscribe();
    receive(message);
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
    const { to, next, kept, delivered } = overlap;
    overlap = undefined;
    at = to;
    current = next;
    for (const message of kept) {
      const print = queue === undefined ? fingerprint(message) : "";
      const times = delivered.get(print) ?? 0;
      if (times > 0) delivered.set(print, times - 1);
      else deliver(message);
    }
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
      const kept: Msg[] = [];
      const next = subscribe(to);
      overlap = { to, next, kept, delivered: new Map() };
      return true;
    },
    async leave() {
      if (overlap) await finished(current);
    },
    arrive,
  };
}

/** Two packets that look alike are told apart by how often they came: each connection brings every packet once. */
const fingerprint = (message: Msg): string => {
  const { subject, reply = "", data, headers } = message;
  return `${subject} ${reply} ${headers ? [...headers].flat(2).join("\n") : ""}\0${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1")}`;
};
