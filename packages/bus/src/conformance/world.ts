import type { Transport } from "../transport.ts";

/** What the suite asks of a connection. */
export interface WorldConnectOptions {
  /** One of `conformanceUsers`. Without it: somebody who may do everything. */
  user?: string;
  /** Whether the connection hears what it says itself. Default true. */
  echo?: boolean;
  inboxPrefix?: string;
}

/** Two connections to a carrier of which one part is about to stop. */
export interface LameDuckScene extends AsyncDisposable {
  /** Connected to the part that stops. */
  readonly moving: Transport;
  /** Connected to a part that stays. */
  readonly staying: Transport;
  /** The part says that it stops. */
  begin(): Promise<void>;
  /** Resolves when nobody is connected to that part any more; it may be gone then. */
  left(): Promise<void>;
}

/**
 * A carrier and what can be done to it: the stage of the suite. Whoever brings a transport of his own writes one of these.
 * A case that needs what a world cannot do throws `Skipped`, with the reason.
 */
export interface World {
  /** How long a case waits for what must come, in ms. Default 10 000: it is only ever used up by a failure. */
  readonly patienceMs?: number;
  /** A new connection to the same carrier. @throws BusError `BUS_INVALID_SUBJECT` for an inbox prefix with wildcards */
  connect(options?: WorldConnectOptions): Promise<Transport>;
  /** Cuts the way of one connection and opens it again; each resolves when the transport has noticed. */
  readonly fault?: {
    disconnect(transport: Transport): Promise<void>;
    reconnect(transport: Transport): Promise<void>;
  };
  /** True where `conformanceUsers` may connect and are held to their rights. */
  readonly users?: boolean;
  /** What the carrier does with a connection that does not read. */
  readonly slow?: {
    /** Bytes that certainly are more than may wait for one connection. */
    readonly tooManyBytes: number;
    /** The connection reads nothing until the result is called. */
    hold(transport: Transport): Promise<() => Promise<void>>;
    /** Whether the one that is cut learns why. A NATS server does not say it. */
    readonly told: boolean;
  };
  lameDuck?(): Promise<LameDuckScene>;
  /** Looks behind the stores of large things that connections open. */
  readonly objects?: {
    /** How many chunks the store really keeps. */
    countChunks(name: string): Promise<number>;
    /** Changes a byte in the last chunk of the only object in the store, behind its back. */
    tamper(name: string): Promise<void>;
  };
}

/** Users that a world with `users` lets in, as the configuration of a NATS server writes permissions. */
export const conformanceUsers = {
  /** May publish to `rights.open.>` but not to `rights.open.secret`; may listen to `rights.>` except `rights.hidden.>`, and to its inboxes. */
  limited: {
    publish: { allow: ["rights.open.>"], deny: ["rights.open.secret"] },
    subscribe: { allow: ["rights.>", "_INBOX.>"], deny: ["rights.hidden.>"] },
  },
  /** May listen to `rights.ask` and answer each question once; publishes nothing else. */
  answering: {
    subscribe: { allow: ["rights.ask"] },
    allowResponses: true,
  },
  /** May listen to `rights.work` as a member of `pool`, and not otherwise. */
  worker: {
    publish: { allow: [] },
    subscribe: { allow: ["rights.work pool"] },
  },
} as const;

/** One item of the suite on one world. */
export type Case = (world: World) => Promise<void>;
export type Cases = Readonly<Record<string, Case>>;

/** Thrown by a case that its world cannot play. Report it as skipped, with its message. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}

/** @throws Skipped when the world lacks it */
export function need<K extends "fault" | "users" | "slow" | "lameDuck" | "objects">(world: World, capability: K): NonNullable<World[K]> {
  const there = world[capability];
  if (there === undefined || there === false) throw new Skipped(`this world has no ${capability}`);
  return there as NonNullable<World[K]>;
}
