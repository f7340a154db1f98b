import { randomBytes } from "node:crypto";
import type { HeadersInit } from "../headers.ts";
import type { Packet, Transport } from "../transport.ts";
import { duration } from "./text.ts";
import { Failure } from "./usage.ts";
import { pause } from "./wait.ts";

export interface AskOptions {
  subject: string;
  data: Uint8Array | string;
  headers?: HeadersInit;
  /** Ends after so many answers. */
  max: number;
  /** Ends after this time in any case, in ms. */
  waitMs: number;
  signal: AbortSignal;
}

/**
 * Asks and gives the answers as they come, with their headers, whether the catalogue knows the subject or not.
 * @throws Failure when nobody listens, when the bus goes away, or when this user may not
 */
export async function* ask(transport: Transport, { subject, data, headers, max, waitMs, signal }: AskOptions): AsyncGenerator<Packet> {
  const inbox = `${transport.inboxPrefix}.${randomBytes(12).toString("hex")}`;
  const waiting: Packet[] = [];
  let failure: Failure | undefined;
  let wake = new AbortController();
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const fail = (text: string): void => {
    failure ??= new Failure(text);
    wake.abort();
  };
  const watch = transport.on((event) => {
    if (event.type === "disconnected" || event.type === "closed") fail(`the bus went away while ${subject} waited for an answer`);
    else if (event.type === "error" && event.operation !== undefined && [undefined, subject, inbox].includes(event.subject)) fail(event.error.message);
  });
  const subscription = transport.subscribe(inbox, (packet) => {
    waiting.push(packet);
    wake.abort();
  });
  void pause(waitMs, stop).then(() => {
    ended.abort();
    wake.abort();
  });
  try {
    if (!transport.publish(subject, data, { reply: inbox, ...(headers && { headers }) })) throw new Failure("the bus is away at the moment");
    for (let given = 0; given < max; ) {
      const packet = waiting.shift();
      if (packet?.status?.code === 503) throw new Failure(`nobody listens to ${subject}`);
      if (packet) {
        given++;
        yield packet;
        continue;
      }
      if (failure) throw failure;
      if (stop.aborted) return;
      wake = new AbortController();
      await pause(undefined, AbortSignal.any([wake.signal, stop]));
    }
  } finally {
    ended.abort();
    subscription.unsubscribe();
    watch[Symbol.dispose]();
  }
}

/** What to say when a wait was in vain. */
export const noAnswer = (subject: string, waitMs: number): Failure => new Failure(`no answer to ${subject} within ${duration(waitMs)}: somebody listens, but nobody speaks (--wait gives more time)`);
