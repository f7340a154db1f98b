import { BusError } from "../errors.ts";
import type { Packet, Transport } from "../transport.ts";

/** What happened to a question: an answer, or an end to hoping. */
export type Answered = { readonly packet: Packet } | { readonly error: BusError };

export interface Inquiry extends Disposable {
  /** Subject for the answers. */
  readonly inbox: string;
}

/** All questions of a connection share one subscription; the last token of the subject tells them apart. */
export interface Mux extends Disposable {
  /** @param subject what the question is sent to: when the server forbids that, the inquiry is told */
  open(subject: string, receive: (answered: Answered) => void, options?: { ownInbox?: boolean }): Inquiry;
  /** Questions that wait for answers. */
  readonly pending: number;
}

export function createMux(transport: Transport, nextId: () => string): Mux {
  const open = new Map<string, { subject: string; pattern: string; receive: (answered: Answered) => void }>();
  let prefix: string | undefined;
  const failAll = (error: BusError, concerns: (each: { subject: string; pattern: string }) => boolean = () => true): void => {
    for (const [, each] of [...open]) if (concerns(each)) each.receive({ error });
  };
  const watch = transport.on((event) => {
    if (event.type === "disconnected") failAll(new BusError("BUS_DISCONNECTED", "the bus went away before an answer came", { retryable: true }));
    if (event.type === "closed") failAll(new BusError("BUS_CLOSED", "the bus was closed before an answer came"));
    if (event.type !== "error" || event.subject === undefined) return;
    if (event.operation === "publish") failAll(event.error, ({ subject }) => subject === event.subject);
    if (event.operation !== "subscribe") return;
    failAll(event.error, ({ pattern }) => pattern === event.subject);
    // The next question tries anew: rights may change.
    if (prefix !== undefined && event.subject === `${prefix}*`) prefix = undefined;
  });
  const listen = (): string => {
    const start = `${transport.inboxPrefix}.${nextId()}.`;
    // Forgotten when the connection is: nothing else ends it.
    transport.subscribe(`${start}*`, (packet) => open.get(packet.subject)?.receive({ packet }));
    return start;
  };
  return {
    open(subject, receive, { ownInbox = false } = {}) {
      const inbox = ownInbox ? `${transport.inboxPrefix}.${nextId()}` : `${(prefix ??= listen())}${nextId()}`;
      const own = ownInbox ? transport.subscribe(inbox, (packet) => receive({ packet })) : undefined;
      open.set(inbox, { subject, pattern: own ? inbox : `${prefix}*`, receive });
      return {
        inbox,
        [Symbol.dispose]() {
          open.delete(inbox);
          if (transport.status !== "closed") own?.unsubscribe();
        },
      };
    },
    get pending() {
      return open.size;
    },
    [Symbol.dispose]() {
      failAll(new BusError("BUS_CLOSED", "the bus was closed before an answer came"));
      watch[Symbol.dispose]();
    },
  };
}
