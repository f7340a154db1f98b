import type { HeadersInit } from "../headers.ts";
import type { Clock } from "../ports.ts";
import type { AnyMessage } from "../schema.ts";
import type { Transport } from "../transport.ts";

/** A message ready to leave. */
export interface Outgoing {
  readonly message: AnyMessage;
  readonly subject: string;
  readonly data: Uint8Array | string;
  readonly headers: HeadersInit | undefined;
}

interface Kept extends Outgoing {
  readonly sinceMs: number;
  readonly maxAgeMs: number;
}

export interface Outbox extends Disposable {
  /** Sends, or does what the policy of the message says while the bus is away. */
  send(item: Outgoing, body: unknown): void;
  /** Messages waiting for the bus to come back. */
  readonly pending: number;
}

export interface OutboxOptions {
  transport: Transport;
  clock: Clock;
  /** Says what was given up, and why. */
  lost: (subject: string, reason: "dropped_while_disconnected" | "dropped_outbox_full" | "dropped_too_old") => void;
  /** Bounds for everything kept. Default 10 000 messages, 32 MiB. */
  maxItems?: number;
  maxBytes?: number;
  /** Wait after the bus has come back, so that those who listen are back too. Default 1 500 ms. */
  resumeAfterMs?: number;
}

/** After the server has confirmed a message it may still die before it has passed it on. */
const settleMs = 1_000;

/**
 * Keeps what the disconnect policies say and sends it in order when the bus is back. A `buffer` message counts as sent only a
 * second after the server has confirmed it: those that were on the way when the connection broke are sent again, with the same message id.
 */
export function createOutbox({ transport, clock, lost, maxItems = 10_000, maxBytes = 32 * 1_048_576, resumeAfterMs = 1_500 }: OutboxOptions): Outbox {
  // One line in order of time. Keys: those of `latest-per-key`, and a number for each buffered message.
  const line = new Map<string, Kept>();
  const buffered = new Map<AnyMessage, string[]>();
  let bytes = 0;
  let n = 0;
  let unconfirmed: Kept[] = [];
  let unconfirmedBytes = 0;
  let confirmedMs = -Infinity;
  let confirming = false;
  let retire: Disposable | undefined;
  let resume: Disposable | undefined;

  const sizeOf = (item: Outgoing): number => item.data.length + item.subject.length + 200;
  const remove = (key: string): void => {
    const item = line.get(key);
    if (!item) return;
    line.delete(key);
    bytes -= sizeOf(item);
    const keys = buffered.get(item.message);
    const at = keys?.indexOf(key) ?? -1;
    if (at >= 0) keys?.splice(at, 1);
  };
  const keep = (key: string, item: Kept): void => {
    remove(key);
    line.set(key, item);
    bytes += sizeOf(item);
    while (line.size > maxItems || bytes > maxBytes) {
      const oldest = line.keys().next().value as string;
      lost((line.get(oldest) as Kept).message.subject, "dropped_outbox_full");
      remove(oldest);
    }
  };
  const buffer = (item: Kept, max: number): void => {
    const key = `#${n++}`;
    const keys = buffered.get(item.message) ?? buffered.set(item.message, []).get(item.message) as string[];
    keys.push(key);
    keep(key, item);
    while (keys.length > max) {
      lost(item.message.subject, "dropped_outbox_full");
      remove(keys[0] as string);
    }
  };

  // Asks the server from time to time whether it has what was sent, and forgets it a little later.
  const confirm = (): void => {
    if (confirming || unconfirmed.length === 0) return;
    confirming = true;
    const startedMs = clock.now();
    transport.flush().then(
      () => {
        confirmedMs = startedMs;
        retire ??= clock.after(settleMs, settle);
      },
      () => undefined,
    ).finally(() => (confirming = false));
  };
  const settle = (): void => {
    retire = undefined;
    const limitMs = Math.min(confirmedMs, clock.now() - settleMs);
    unconfirmed = unconfirmed.filter((item) => item.sinceMs > limitMs);
    unconfirmedBytes = unconfirmed.reduce((sum, item) => sum + sizeOf(item), 0);
    confirm();
  };

  const give = (item: Outgoing): boolean => {
    const options = item.headers ? { headers: item.headers } : undefined;
    return transport.publish(item.subject, item.data, options);
  };
  const release = (): void => {
    for (const [key, item] of [...line]) {
      if (clock.now() - item.sinceMs > item.maxAgeMs) lost(item.message.subject, "dropped_too_old");
      else if (!give(item)) return;
      else if (item.message.onDisconnect.kind === "buffer") sent(item);
      remove(key);
    }
  };
  const sent = (item: Kept): void => {
    unconfirmed.push({ ...item, sinceMs: clock.now() });
    unconfirmedBytes += sizeOf(item);
    while (unconfirmed.length > maxItems || unconfirmedBytes > maxBytes) unconfirmedBytes -= sizeOf(unconfirmed.shift() as Kept);
    confirm();
  };

  const watch = transport.on((event) => {
    if (event.type === "connected") resume = clock.after(resumeAfterMs, release);
    if (event.type !== "disconnected") return;
    resume?.[Symbol.dispose]();
    if (unconfirmed.length === 0) return;
    // What may have been lost on the way goes first, in its old order.
    const later = [...line.values()];
    const again = unconfirmed;
    unconfirmed = [];
    unconfirmedBytes = 0;
    line.clear();
    buffered.clear();
    bytes = 0;
    for (const item of [...again, ...later])
      if (item.message.onDisconnect.kind === "buffer") buffer(item, item.message.onDisconnect.max);
      else keep(latestKey(item), item);
  });

  const keyed = new WeakMap<Kept, string>();
  const latestKey = (item: Kept): string => keyed.get(item) ?? item.subject;

  return {
    send(item, body) {
      const { message: { onDisconnect: policy } } = item;
      // Behind what still waits, so that order holds.
      const gone = line.size === 0 && give(item);
      if (gone && policy.kind !== "buffer") return;
      const kept: Kept = { ...item, sinceMs: clock.now(), maxAgeMs: policy.kind === "buffer" ? policy.maxAgeMs : (item.message.ttlMs ?? Infinity) };
      if (gone) return sent(kept);
      if (policy.kind === "drop") {
        if (transport.status === "connected" && give(item)) return;
        return lost(item.message.subject, "dropped_while_disconnected");
      }
      if (policy.kind === "buffer") buffer(kept, policy.max);
      else {
        const key = `${item.subject} ${JSON.stringify(policy.key.map((field) => (body as Record<string, unknown>)[field]))}`;
        keyed.set(kept, key);
        keep(key, kept);
      }
    },
    get pending() {
      return line.size;
    },
    [Symbol.dispose]() {
      watch[Symbol.dispose]();
      retire?.[Symbol.dispose]();
      resume?.[Symbol.dispose]();
      for (const item of line.values()) lost(item.message.subject, "dropped_while_disconnected");
      line.clear();
      unconfirmed = [];
    },
  };
}
