import { BusError } from "../errors.ts";
import { headerBytes, normalizeHeaders } from "../headers.ts";
import type { Clock } from "../ports.ts";
import { assertSubject } from "../subject.ts";
import type { Transport } from "../transport.ts";
import type { Kept, LostReason, Outgoing } from "./kept.ts";
import { createLine } from "./line.ts";
import { createUnconfirmed } from "./unconfirmed.ts";

export interface Outbox extends Disposable {
  /**
   * Sends, or does what the policy of the message says while the bus is away.
   * @throws what `Transport.publish` throws, also for what has to wait
   */
  send(item: Outgoing, body: unknown): void;
  /** Messages waiting to leave. */
  readonly pending: number;
  /** Resolves when none waits any more. @throws BusError `BUS_DISCONNECTED`, `BUS_CLOSED`, or the reason of the signal */
  emptied(signal?: AbortSignal): Promise<void>;
}

export interface OutboxOptions {
  transport: Transport;
  clock: Clock;
  /** Says what was given up, and why. */
  lost: (subject: string, reason: LostReason) => void;
  /** Bounds for everything kept. Default 10 000 messages, 32 MiB. */
  maxItems?: number;
  maxBytes?: number;
  /** Wait after the bus has come back, so that those who listen are back too. Default 1 500 ms. */
  resumeAfterMs?: number;
}

/** When a connection that took no more is tried again. */
const congestedMs = 100;

/**
 * Keeps what the disconnect policies say and sends it in order when the bus is back. A `buffer` message counts as sent only a
 * second after the server has confirmed it: those that were on the way when the connection broke are sent again, with the same message id.
 */
export function createOutbox({ transport, clock, lost, maxItems = 10_000, maxBytes = 32 * 1_048_576, resumeAfterMs = 1_500 }: OutboxOptions): Outbox {
  const unconfirmed = createUnconfirmed(transport, clock, { maxItems, maxBytes });
  // What was sent once may well have arrived.
  let resent: ReadonlySet<Kept> = new Set();
  const line = createLine({ maxItems, maxBytes }, (item) => lost(item.message.subject, resent.has(item) ? "dropped_unconfirmed" : "dropped_outbox_full"));
  const waiting = new Set<(error?: BusError) => void>();
  let resume: Disposable | undefined;
  let ended = false;

  const wake = (error?: BusError): void => {
    for (const each of [...waiting]) each(error);
  };
  const give = ({ subject, data, headers }: Outgoing): boolean => transport.publish(subject, data, headers && { headers });
  const pause = (): void => {
    resume?.[Symbol.dispose]();
    resume = undefined;
  };
  const releaseIn = (ms: number): void => {
    pause();
    resume = clock.after(ms, release);
  };
  const release = (): void => {
    pause();
    for (let next; (next = line.first()); ) {
      const { key, item } = next;
      let reason: LostReason | undefined;
      if (clock.now() - item.sinceMs > item.maxAgeMs) reason = "dropped_too_old";
      else {
        try {
          if (!give(item)) {
            if (transport.status === "connected") releaseIn(congestedMs);
            return;
          }
        } catch {
          if (transport.status === "closed") return;
          // The server that came back takes less than the one that went.
          reason = "dropped_refused";
        }
        // When the connection broke just now the line has a new order, with this one in it.
        if (transport.status !== "connected" || !line.has(key, item)) return;
      }
      line.remove(key);
      if (reason) lost(item.message.subject, reason);
      else if (item.latestKey === undefined) unconfirmed.add(item);
    }
    wake();
  };
  const giveUp = (): void => {
    pause();
    for (const item of line.empty()) lost(item.message.subject, "dropped_while_disconnected");
    wake(closed());
  };

  const watch = transport.on(({ type }) => {
    if (type === "connected" && line.size > 0) releaseIn(resumeAfterMs);
    if (type === "closed") giveUp();
    if (type !== "disconnected") return;
    pause();
    wake(away());
    const again = unconfirmed.empty();
    if (again.length === 0) return;
    // What may have been lost on the way goes first, in its old order.
    const later = line.empty();
    resent = new Set([...again, ...later.filter((item) => resent.has(item))]);
    for (const item of [...again, ...later]) line.add(item);
  });

  return {
    send(item, body) {
      const { message: { subject, onDisconnect: policy, ttlMs = Infinity } } = item;
      // Behind what still waits, so that order holds; what is dropped anyway has no order to keep.
      const tried = line.size === 0 || policy.kind === "drop";
      const gone = tried && give(item);
      if (policy.kind === "drop") return gone ? undefined : lost(subject, "dropped_while_disconnected");
      if (gone && policy.kind !== "buffer") return;
      const kept: Kept = {
        ...item, sinceMs: clock.now(),
        maxAgeMs: policy.kind === "buffer" ? policy.maxAgeMs : ttlMs,
        latestKey: policy.kind === "buffer" ? undefined : `${item.subject} ${JSON.stringify(policy.key.map((field) => fieldOf(body, field)))}`,
      };
      if (gone && transport.status === "connected") return unconfirmed.add(kept);
      if (!tried) assertSendable(transport, item);
      if (ended) return lost(subject, "dropped_while_disconnected");
      line.add(kept);
      if (transport.status === "connected" && !resume) releaseIn(congestedMs);
    },
    get pending() {
      return line.size;
    },
    async emptied(signal) {
      signal?.throwIfAborted();
      if (line.size === 0) return;
      if (transport.status === "closed") throw closed();
      if (transport.status !== "connected") throw away();
      await new Promise<void>((done, fail) => {
        const end = (): void => {
          waiting.delete(tell);
          signal?.removeEventListener("abort", abort);
        };
        const abort = (): void => {
          end();
          fail(signal?.reason as Error);
        };
        const tell = (error?: BusError): void => {
          end();
          if (error) fail(error);
          else done();
        };
        waiting.add(tell);
        signal?.addEventListener("abort", abort);
      });
    },
    [Symbol.dispose]() {
      if (ended) return;
      // The last chance for those that wait for their receivers.
      if (transport.status === "connected") release();
      ended = true;
      watch[Symbol.dispose]();
      giveUp();
      unconfirmed[Symbol.dispose]();
    },
  };
}

const fieldOf = (body: unknown, field: string): unknown => (typeof body === "object" && body !== null ? (body as Record<string, unknown>)[field] : undefined);
const closed = (): BusError => new BusError("BUS_CLOSED", "this connection to the bus is closed");
const away = (): BusError => new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true });

/** What `publish` would refuse is refused now: later nobody is there to be told. */
function assertSendable({ maxPayloadBytes }: Transport, { subject, data, headers }: Outgoing): void {
  assertSubject(subject);
  const bytes = Buffer.byteLength(data) + (headers ? headerBytes(normalizeHeaders(headers)) : 0);
  if (bytes > maxPayloadBytes) throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${subject}: ${bytes} bytes are more than the bus carries (${maxPayloadBytes})`);
}
