import { setTimeout as wait } from "node:timers/promises";
import type { NatsConnection } from "nats";
import type { TransportEvent } from "../transport.ts";
import { disconnected } from "./errors.ts";
import { watchStatus } from "./status.ts";
import type { NatsSubscriptions } from "./subscriptions.ts";
import { apartMs } from "./twice.ts";

/** Time in which a cluster tells all its servers who listens where, and in which what came before that has grown old. */
const settleMs = apartMs;
/** Clients of one server do not leave it all at the same moment. */
const spreadMs = 500;
/** Longest wait for an answer of a server, and for the connection to come back; after that it is a fault like any other. */
const answerWithinMs = 2_000;
const returnWithinMs = 10_000;

export interface Mover {
  /** Starts a move unless one is on its way. `false` where no other server can be reached. */
  start(): Promise<boolean>;
  /** True while another connection stands in: what happens to the first one is nobody's business then. */
  readonly standsIn: boolean;
  /** The first connection is there again. */
  returned(): void;
  /** Ends a move at once. */
  cancel(): Promise<void>;
}

export interface MoverOptions {
  connection: NatsConnection;
  subscriptions: NatsSubscriptions;
  /** Opens a connection to a server that is to stay. */
  open: () => Promise<NatsConnection>;
  /** From now on packets leave by this connection. */
  sendBy: (outlet: NatsConnection) => void;
  /** Events of the connection that stands in. */
  tell: (event: TransportEvent) => void;
}

/**
 * Leaves a server that asks for it (lame-duck mode) without losing or doubling packets: a second connection takes over, the first one
 * finds another server and takes over again, the second one ends. What hangs on the first one, such as watches of buckets, stays with it.
 */
export function createMover({ connection, subscriptions, open, sendBy, tell }: MoverOptions): Mover {
  let moving = false;
  let bridge: NatsConnection | undefined;
  let back: { resolve: () => void; reject: (error: Error) => void } | undefined;
  const giveUp = (): void => back?.reject(disconnected());

  const handOver = async (from: NatsConnection, to: NatsConnection): Promise<void> => {
    const handover = subscriptions.handOver(to);
    try {
      await inTime(to.flush());
      await wait(settleMs);
      await inTime(handover.leave());
      // What was sent before is routed before what is sent next.
      await inTime(from.flush());
    } finally {
      sendBy(to);
      handover.finish();
    }
  };
  const move = async (second: NatsConnection): Promise<void> => {
    await handOver(connection, second);
    const returned = new Promise<void>((resolve, reject) => (back = { resolve, reject }));
    const limit = setTimeout(giveUp, returnWithinMs);
    try {
      await connection.reconnect();
      await returned;
    } finally {
      clearTimeout(limit);
    }
  };

  return {
    get standsIn() {
      return bridge !== undefined;
    },
    returned: () => back?.resolve(),
    async start() {
      if (moving || connection.isClosed()) return false;
      moving = true;
      try {
        await wait(Math.random() * spreadMs, undefined, { ref: false });
        const second = await open();
        bridge = second;
        watchStatus(second, (event) => {
          if (event.type === "disconnected") giveUp();
          else if (event.type === "error") tell(event);
        });
        const there = await move(second).then(() => true, () => false);
        if (there) await handOver(second, connection).catch(() => undefined);
        else {
          subscriptions.handOver(connection).finish();
          sendBy(connection);
        }
        await second.close();
        return there;
      } catch {
        return false;
      } finally {
        moving = false;
        bridge = undefined;
        back = undefined;
      }
    },
    async cancel() {
      giveUp();
      await bridge?.close();
    },
  };
}

function inTime(answer: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(disconnected()), answerWithinMs)));
  return Promise.race([answer.then(() => undefined), late]).finally(() => clearTimeout(timer));
}
