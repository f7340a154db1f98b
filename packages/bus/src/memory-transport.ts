import { BusError } from "./errors.ts";
import { MemoryConnection } from "./memory/connection.ts";
import { Exchange } from "./memory/exchange.ts";
import { isWild } from "./memory/interests.ts";
import { createRights, type SubjectRights, type UserRights } from "./memory/rights.ts";
import { createMemoryState } from "./memory/state.ts";
import type { MemoryObjects } from "./objects/memory.ts";
import { type Clock, systemClock } from "./ports.ts";
import { isSubject } from "./subject.ts";
import type { Transport } from "./transport.ts";

export type { SubjectRights, UserRights };

export interface MemoryHubOptions {
  /** Largest payload with its headers, in bytes. Default 1 MiB, as a NATS server has it. */
  maxPayloadBytes?: number;
  /** What may wait for one connection, in bytes; who reads slower is cut, loses it and comes back. Default 64 MiB, as a NATS server has it. */
  maxPendingBytes?: number;
  /** How long a connection that was cut for that stays away. Default 10 ms. */
  reconnectWaitMs?: number;
  /** Who may connect and what each may do. Default: everybody, everything. */
  users?: Readonly<Record<string, UserRights>>;
  /** The stores of large things that its connections open. Default: some of its own. */
  objects?: MemoryObjects;
  clock?: Clock;
  /** Chooses the member of a queue group: a number from 0 up to 1. Default `Math.random`. */
  random?: () => number;
}

export interface MemoryConnectOptions {
  /** Needed when the hub has users. */
  user?: string;
  /** Whether it hears what it says itself. Default true. */
  echo?: boolean;
  /** First part of its subjects for answers. Default `_INBOX`. */
  inboxPrefix?: string;
}

/** What connections of one process share, as clients share a server. */
export interface MemoryHub {
  /** @throws BusError `BUS_UNAUTHORIZED`, `BUS_INVALID_SUBJECT` (a wildcard in the prefix) */
  connect(options?: MemoryConnectOptions): Transport;
  /** Fault: cuts a connection. What waits for it is lost, and so is what others say until `reconnect`. */
  disconnect(transport: Transport): void;
  reconnect(transport: Transport): void;
  /** Fault: a connection reads nothing until the result is disposed. */
  hold(transport: Transport): Disposable;
  /** Asks every connection to move, as a server does that is about to stop; nothing is lost. */
  lameDuck(): void;
}

/** A bus within one process: the order, queue groups, permissions and "no responders" of a NATS server, nothing to install. */
export function createMemoryHub({
  maxPayloadBytes = 1_048_576, maxPendingBytes = 67_108_864, reconnectWaitMs = 10, users, objects, clock = systemClock, random = Math.random,
}: MemoryHubOptions = {}): MemoryHub {
  const exchange = new Exchange(random);
  const state = createMemoryState({ clock, maxPayloadBytes, objects });
  const connections = new Set<MemoryConnection>();
  const own = (transport: Transport): MemoryConnection => {
    if (transport instanceof MemoryConnection && connections.has(transport)) return transport;
    throw new TypeError("this connection is none of this hub");
  };
  return {
    connect({ user, echo = true, inboxPrefix = "_INBOX" } = {}) {
      if (!isSubject(inboxPrefix) || isWild(inboxPrefix))
        throw new BusError("BUS_INVALID_SUBJECT", `${JSON.stringify(inboxPrefix.slice(0, 80))} is no prefix for answers: a subject without wildcards is needed`);
      const named = users && user !== undefined && Object.hasOwn(users, user) ? users[user] : undefined;
      if (users && !named) throw new BusError("BUS_UNAUTHORIZED", user === undefined ? "this hub wants to know who connects: name a user" : "this hub does not know that user");
      const connection = new MemoryConnection({
        exchange, state, clock, maxPayloadBytes, maxPendingBytes, reconnectWaitMs, inboxPrefix, echo, rights: named && createRights(named),
      });
      connections.add(connection);
      void connection.closed.then(() => connections.delete(connection));
      return connection;
    },
    disconnect: (transport) => own(transport).cut(),
    reconnect: (transport) => own(transport).restore(),
    hold: (transport) => own(transport).hold(),
    lameDuck() {
      for (const connection of [...connections]) connection.move();
    },
  };
}

/** A connection to `hub`, or to a hub of its own. */
export const memoryTransport = (hub: MemoryHub = createMemoryHub()): Transport => hub.connect();
