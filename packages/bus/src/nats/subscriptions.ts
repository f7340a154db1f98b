import type { NatsConnection, Subscription } from "nats";
import { assertPattern, assertSubject } from "../subject.ts";
import { BusError } from "../errors.ts";
import type { Packet, ReceiveOptions, TransportSubscription } from "../transport.ts";
import { NatsPacket } from "./packet.ts";

export interface NatsSubscriptions {
  open(pattern: string, receive: (packet: Packet) => void, options: ReceiveOptions): TransportSubscription;
  /** The server has forgotten how many packets were left; call when it is there again. */
  renewLimits(): void;
  /** All take no more and deliver what is on the way. */
  drain(): Promise<void>;
}

interface Own {
  readonly renew: () => void;
  readonly drain: () => Promise<void>;
}

/** @param failed told of a receiver that threw: a throw in the client's read loop would end it */
export function createSubscriptions(connection: NatsConnection, failed: (subject: string, error: unknown) => void): NatsSubscriptions {
  const limited = new Set<Own>();
  const all = new Set<Own>();
  return {
    open(pattern, receive, { queue, max }) {
      assertPattern(pattern);
      if (queue !== undefined) assertSubject(queue);
      if (max !== undefined && !(Number.isSafeInteger(max) && max > 0)) throw new BusError("BUS_INVALID_SUBJECT", `max must be a whole number above 0, not ${max}`);
      // A subject without wildcards need not be decoded for every packet.
      const subject = /(^|\.)[*>](\.|$)/.test(pattern) ? undefined : pattern;
      let left = max ?? Infinity;
      let ended = false;
      const end = (): void => {
        ended = true;
        limited.delete(own);
        all.delete(own);
      };
      const subscribe = (): Subscription => {
        const each: Subscription = connection.subscribe(pattern, {
          ...(queue !== undefined && { queue }),
          ...(max !== undefined && { max: left }),
          callback(error, message) {
            // An error is a refusal; it comes as an event of the connection too, and the client has ended the subscription.
            if (error) return end();
            if (left <= 0 || (ended && !draining)) return;
            if (--left === 0) {
              end();
              draining = false;
            }
            try {
              receive(new NatsPacket(message, subject));
            } catch (cause) {
              failed(message.subject, cause);
            }
          },
        });
        return each;
      };
      let draining = false;
      let drained: Promise<void> | undefined;
      const own: Own = {
        renew() {
          // In this order: a packet that finds both would come twice.
          current.unsubscribe();
          current = subscribe();
        },
        drain() {
          if (ended) return drained ?? Promise.resolve();
          draining = true;
          end();
          return (drained = current.drain().catch(() => undefined).then(() => void (draining = false)));
        },
      };
      let current = subscribe();
      all.add(own);
      if (max !== undefined) limited.add(own);
      const unsubscribe = (): void => {
        if (ended) return;
        end();
        if (!connection.isClosed()) current.unsubscribe();
      };
      return { unsubscribe, drain: own.drain, [Symbol.dispose]: unsubscribe };
    },
    renewLimits() {
      for (const each of limited) each.renew();
    },
    async drain() {
      await Promise.all([...all].map((each) => each.drain()));
    },
  };
}
