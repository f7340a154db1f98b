import type { Clock } from "../ports.ts";
import type { Transport } from "../transport.ts";
import { type Kept, type Limits, sizeOf } from "./kept.ts";

/** What was sent and may yet be lost on the way. Beyond its bounds the oldest are taken for confirmed. */
export interface Unconfirmed extends Disposable {
  add(item: Kept): void;
  /** Takes everything out, in order. */
  empty(): Kept[];
}

/** After the server has confirmed a message it may still die before it has passed it on. */
const settleMs = 1_000;

/** Asks the server from time to time whether it has what was sent, and forgets it a second later. */
export function createUnconfirmed(transport: Transport, clock: Clock, { maxItems, maxBytes }: Limits): Unconfirmed {
  let sent: { readonly item: Kept; readonly turn: number; readonly atMs: number }[] = [];
  let bytes = 0;
  // Counts what was sent: several may leave within one millisecond, and the clock may be set back.
  let turn = 0;
  let confirmed = 0;
  let asking = false;
  let retire: Disposable | undefined;
  let ended = false;

  const confirm = (): void => {
    if (asking || ended || sent.length === 0) return;
    asking = true;
    const upTo = turn;
    transport.flush().then(
      () => {
        asking = false;
        confirmed = upTo;
        if (!ended) retire ??= clock.after(settleMs, settle);
      },
      // The connection broke: they are sent again.
      () => void (asking = false),
    );
  };
  const settle = (): void => {
    retire = undefined;
    const limitMs = clock.now() - settleMs;
    let done = 0;
    for (const { item, turn: own, atMs } of sent) {
      if (own > confirmed || atMs > limitMs) break;
      bytes -= sizeOf(item);
      done++;
    }
    sent = sent.slice(done);
    confirm();
  };

  return {
    add(item) {
      sent.push({ item, turn: ++turn, atMs: clock.now() });
      bytes += sizeOf(item);
      while (sent.length > maxItems || bytes > maxBytes) {
        const oldest = sent.shift();
        if (oldest) bytes -= sizeOf(oldest.item);
      }
      confirm();
    },
    empty() {
      const all = sent.map(({ item }) => item);
      sent = [];
      bytes = 0;
      return all;
    },
    [Symbol.dispose]() {
      ended = true;
      sent = [];
      retire?.[Symbol.dispose]();
    },
  };
}
