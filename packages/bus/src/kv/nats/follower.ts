import type { Msg, Subscription } from "nats";
import { BusError } from "../../errors.ts";
import type { Clock } from "../../ports.ts";
import type { FollowStart, Follower, StoredChange } from "../store.ts";
import type { JetStream } from "./jetstream.ts";

export interface NatsFollowerParts {
  jetStream: JetStream;
  clock: Clock;
  stream: string;
  /** Subject of the keys to follow. */
  filter: string;
  start: FollowStart;
  createInbox: () => string;
  /** When the stream was made, as the server writes it: another value means another stream of the same name. */
  madeAt: string;
  read: (message: Msg, revision: number, createdMs: number) => StoredChange;
  /** What the server's clock showed between two moments of ours. */
  onServerTime: (serverMs: number, sentMs: number) => void;
  ring: () => void;
}

interface ConsumerInfo {
  readonly name: string;
  readonly created: string;
  readonly num_pending: number;
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number };
}

const maxQueued = 1_024;
const heartbeatMs = 2_000;
/** The server is silent for so long: what pushes to us is gone. */
const silenceMs = 5_000;
const retryMs = 250;

/**
 * Reads a stream with an ordered push consumer (ADR-17). A gap, silence, a reconnect, a full queue or a purge behind a gap ends the
 * consumer; a new one starts behind the last revision that came, so none is lost or repeated.
 */
export function followNats({ jetStream, clock, stream, filter, start, createInbox, madeAt, read, onServerTime, ring }: NatsFollowerParts): Follower {
  const manyKeys = /[*>]/.test(filter);
  let queue: StoredChange[] = [];
  let head = 0;
  let resumeAfter: number | undefined;
  let error: BusError | undefined;
  let closed = false;
  let full = false;
  /** The purge behind which a new consumer was started last. */
  let doubted = 0;
  let current: Consumer | undefined;
  let retry: Disposable | undefined;

  interface Consumer {
    readonly subscription: Subscription;
    name: string | undefined;
    received: number;
    /** Number of the message with which all that was there has come. */
    target: number;
    caughtUp: boolean;
    /** Gets every change from where it starts, and not the last of each key first. */
    readonly whole: boolean;
    heardMs: number;
    watchdog: Disposable | undefined;
  }

  const end = (): void => {
    const consumer = current;
    current = undefined;
    retry?.[Symbol.dispose]();
    retry = undefined;
    if (!consumer) return;
    consumer.watchdog?.[Symbol.dispose]();
    try {
      consumer.subscription.unsubscribe();
    } catch {
      // The connection is closed, and the subscription with it.
    }
    if (consumer.name !== undefined && jetStream.connected) jetStream.api(`CONSUMER.DELETE.${stream}.${consumer.name}`).catch(() => undefined);
  };
  const fail = (cause: BusError): void => {
    end();
    error ??= cause;
    ring();
  };
  const restart = (): void => {
    end();
    if (!closed && error === undefined && !full && jetStream.connected) void open();
  };
  const later = (): void => {
    end();
    if (!closed && error === undefined) retry = clock.after(retryMs + Math.random() * retryMs, restart);
  };
  const policy = (): object => {
    if (resumeAfter !== undefined) return { deliver_policy: "by_start_sequence", opt_start_seq: resumeAfter + 1 };
    if (typeof start === "number") return { deliver_policy: "by_start_sequence", opt_start_seq: Math.max(1, start) };
    return { deliver_policy: { last: "last_per_subject", all: "all", new: "new" }[start] };
  };

  async function open(): Promise<void> {
    const deliver = createInbox();
    let own: Consumer | undefined;
    try {
      own = {
        subscription: jetStream.connection.subscribe(deliver, { callback: (failed, message) => current === own && own && (failed ? later() : receive(own, message)) }),
        name: undefined, received: 0, target: Infinity, caughtUp: false, whole: start !== "last" || resumeAfter !== undefined, heardMs: clock.now(), watchdog: undefined,
      };
      current = own;
      const again = resumeAfter !== undefined;
      if (again) {
        const { created } = await jetStream.api<{ created: string }>(`STREAM.INFO.${stream}`);
        if (created !== madeAt) throw new BusError("BUS_NOT_FOUND", `the bucket behind ${stream} was made anew: open it again`);
        if (current !== own) return;
      }
      const sentMs = clock.now();
      const info = await jetStream.api<ConsumerInfo>(`CONSUMER.CREATE.${stream}`, {
        stream_name: stream,
        config: {
          ...policy(), filter_subject: filter, deliver_subject: deliver, ack_policy: "none", max_deliver: 1, replay_policy: "instant",
          flow_control: true, idle_heartbeat: heartbeatMs * 1e6, mem_storage: true, num_replicas: 1,
        },
      });
      onServerTime(Date.parse(info.created), sentMs);
      if (current !== own) return void jetStream.api(`CONSUMER.DELETE.${stream}.${info.name}`).catch(() => undefined);
      own.name = info.name;
      own.target = info.delivered.consumer_seq + info.num_pending;
      if (start === "new") resumeAfter ??= info.delivered.stream_seq;
      watch(own);
      settle(own, false);
    } catch (cause) {
      if (own && current !== own) return;
      if (cause instanceof BusError && (cause.code === "BUS_NOT_FOUND" || cause.code === "BUS_CLOSED" || cause.code === "BUS_FORBIDDEN")) return fail(cause);
      later();
    }
  }
  const watch = (consumer: Consumer): void => {
    consumer.watchdog = clock.after(silenceMs, () => {
      if (current !== consumer) return;
      if (clock.now() - consumer.heardMs >= silenceMs) restart();
      else watch(consumer);
    });
  };
  const settle = (consumer: Consumer, nothingPending: boolean): void => {
    if (consumer.caughtUp || !(nothingPending || consumer.received >= consumer.target)) return;
    consumer.caughtUp = true;
    ring();
  };
  /**
   * Whether this purge may have taken the consumer past what waited for it: a server before 2.9.12 goes straight to the marker,
   * also over changes of other keys. Only a consumer that starts behind the last change shows whether there are any; each purge is doubted once.
   */
  const passedOver = (consumer: Consumer, revision: number, { headers }: Msg): boolean => {
    if (!manyKeys || !headers?.has("Nats-Rollup") || revision <= doubted || revision <= (resumeAfter ?? 0) + 1) return false;
    if (!consumer.whole && !consumer.caughtUp) return false;
    doubted = revision;
    return true;
  };
  function receive(consumer: Consumer, message: Msg): void {
    consumer.heardMs = clock.now();
    if (message.headers?.code === 100) return control(consumer, message);
    // $JS.ACK.(domain.account.)stream.consumer.deliveries.stream_seq.consumer_seq.time.pending
    const tokens = (message.reply ?? "").split(".");
    const [revision, number, nanos, pending] = tokens.slice(tokens.length === 9 ? 5 : 7) as [string, string, string, string];
    if (Number(number) !== consumer.received + 1 || passedOver(consumer, Number(revision), message)) return restart();
    consumer.received++;
    if (Number(revision) > (resumeAfter ?? 0)) {
      resumeAfter = Number(revision);
      queue.push(read(message, resumeAfter, Number(BigInt(nanos) / 1_000_000n)));
      if (queue.length - head >= maxQueued) {
        full = true;
        end();
      }
      ring();
    }
    settle(consumer, pending === "0");
  }
  const control = (consumer: Consumer, message: Msg): void => {
    const stalled = message.headers?.get("Nats-Consumer-Stalled");
    if (message.reply) message.respond();
    else if (stalled) jetStream.connection.publish(stalled);
    const last = message.headers?.get("Nats-Last-Consumer");
    if (!last) return;
    if (Number(last) > consumer.received) restart();
    else if (consumer.name !== undefined) settle(consumer, true);
  };

  const status = jetStream.onStatus((connected) => {
    if (connected) return restart();
    end();
    if (jetStream.connection.isClosed()) fail(new BusError("BUS_CLOSED", "this connection to the bus is closed"));
  });
  restart();
  return {
    take() {
      if (head < queue.length) {
        const change = queue[head++] as StoredChange;
        if (head === queue.length) {
          queue = [];
          head = 0;
          if (full) {
            full = false;
            restart();
          }
        }
        return change;
      }
      if (error !== undefined) throw error;
      return undefined;
    },
    get live() {
      return head === queue.length && current?.caughtUp === true;
    },
    close() {
      closed = true;
      status[Symbol.dispose]();
      end();
      queue = [];
      head = 0;
    },
  };
}
