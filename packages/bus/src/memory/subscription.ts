import type { Packet, ReceiveOptions, TransportSubscription } from "../transport.ts";
import type { Exchange } from "./exchange.ts";
import { Interest, type Session } from "./interest.ts";
import type { Rights } from "./rights.ts";

interface SubscriptionOptions extends ReceiveOptions {
  forget: (subscription: MemorySubscription) => void;
}

/** A subscription over reconnects: each session gets an interest of its own, the count of `max` goes on. */
export class MemorySubscription implements TransportSubscription {
  readonly pattern: string;
  private interest: Interest | undefined;
  private left: number;
  readonly queue: string | undefined;
  private readonly exchange: Exchange;
  private readonly hand: (packet: Packet) => void;
  private readonly forget: (subscription: MemorySubscription) => void;

  constructor(exchange: Exchange, pattern: string, receive: (packet: Packet) => void, { queue, max = Infinity, forget }: SubscriptionOptions) {
    this.exchange = exchange;
    this.pattern = pattern;
    this.queue = queue;
    this.left = max;
    this.forget = forget;
    this.hand = max === Infinity ? receive : (packet) => {
      if (--this.left <= 0) this.unsubscribe();
      receive(packet);
    };
  }

  attach(session: Session, rights: Rights | undefined): void {
    this.interest = new Interest(session, this.pattern, this.hand, { queue: this.queue, left: this.left, hidden: rights?.hidden(this.pattern) });
    this.exchange.interests.add(this.interest);
  }

  /** @param deliver whether what is on the way still arrives */
  detach(deliver = false): void {
    if (!this.interest) return;
    this.exchange.interests.remove(this.interest);
    if (!deliver) this.interest.live = false;
    this.interest = undefined;
  }

  unsubscribe(): void {
    this.detach();
    this.forget(this);
  }

  drain(): Promise<void> {
    const { interest } = this;
    this.detach(true);
    this.forget(this);
    if (!interest) return Promise.resolve();
    return new Promise((done) => this.exchange.mark(interest.session, () => {
      interest.live = false;
      done();
    }));
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
  }
}
