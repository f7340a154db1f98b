import type { NatsConnection } from "nats";
import { BusError } from "../errors.ts";
import { assertPattern, assertSubject } from "../subject.ts";
import type { Packet, ReceiveOptions, TransportSubscription } from "../transport.ts";
import { NatsPacket } from "./packet.ts";
import { createReceiver, type Receiver } from "./receiver.ts";

/** All subscriptions on their way from one connection to another: for a while both receive, and what comes twice counts once. */
export interface Handover {
  /** The old connection takes no more; resolves when what was on the way has been delivered. */
  leave(): Promise<void>;
  /** What only the new connection has got is delivered, and all that follows. */
  finish(): void;
}

export interface NatsSubscriptions {
  open(pattern: string, receive: (packet: Packet) => void, options: ReceiveOptions): TransportSubscription;
  /** The server has forgotten how many packets were left; call when it is there again. */
  renewLimits(): void;
  /** All take no more and deliver what is on the way. */
  drain(): Promise<void>;
  /** Begins to listen on `to` as well. */
  handOver(to: NatsConnection): Handover;
}

/** @param failed told of a receiver that threw: a throw in the client's read loop would end it */
export function createSubscriptions(connection: NatsConnection, failed: (subject: string, error: unknown) => void): NatsSubscriptions {
  const all = new Set<Receiver>();
  return {
    open(pattern, receive, { queue, max }) {
      assertPattern(pattern);
      if (queue !== undefined) assertSubject(queue);
      if (max !== undefined && !(Number.isSafeInteger(max) && max > 0)) throw new BusError("BUS_INVALID_SUBJECT", `max must be a whole number above 0, not ${max}`);
      // A subject without wildcards need not be decoded for every packet.
      const subject = /(^|\.)[*>](\.|$)/.test(pattern) ? undefined : pattern;
      const receiver = createReceiver(connection, {
        pattern,
        queue,
        max,
        receive(message) {
          try {
            receive(new NatsPacket(message, subject));
          } catch (cause) {
            failed(message.subject, cause);
          }
        },
        ended: () => void all.delete(receiver),
      });
      all.add(receiver);
      return { unsubscribe: receiver.unsubscribe, drain: receiver.drain, [Symbol.dispose]: receiver.unsubscribe };
    },
    renewLimits() {
      for (const each of [...all]) each.renewLimit();
    },
    async drain() {
      await Promise.all([...all].map((each) => each.drain()));
    },
    handOver(to) {
      const moving = [...all].filter((each) => each.overlap(to));
      return {
        async leave() {
          await Promise.all(moving.map((each) => each.leave()));
        },
        finish: () => moving.forEach((each) => each.arrive()),
      };
    },
  };
}
