import { BusError } from "../errors.ts";
import type { HeadersInit } from "../headers.ts";
import { after, type Clock } from "../ports.ts";
import type { AnyMessage, Body, Reply } from "../schema.ts";
import { fillSubject } from "../subject.ts";
import type { Counting } from "./counters.ts";
import type { GatherOptions, RequestOptions } from "./face.ts";
import type { Lane } from "./lane.ts";
import type { Answered } from "./mux.ts";

export interface AskingOptions {
  clock: Clock;
  counting: Counting;
  laneOf: (message: AnyMessage) => Lane;
  /** Headers with the trace of whatever is being handled. */
  headersFor: (given: HeadersInit | undefined) => HeadersInit;
}

export interface Asking {
  request<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): Promise<Reply<M>>;
  answers<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): AsyncGenerator<Reply<M>, void>;
  replies<M extends AnyMessage>(message: M, body: Body<M>, options?: RequestOptions): AsyncGenerator<Reply<M>, void>;
}

type Outcome<R> = { readonly reply: R } | { readonly error: BusError } | { readonly end: true };

/** Answers that wait for a loop that does not read them. */
const maxUnread = 65_536;

export function createAsking({ clock, counting, laneOf, headersFor }: AskingOptions): Asking {
  /** Sends the question; `tell` hears every answer, read and checked. */
  function ask<M extends AnyMessage>(message: M, body: Body<M>, { params, headers, ownInbox, sentinel }: RequestOptions & { sentinel?: boolean | undefined }, tell: (outcome: Outcome<Reply<M>>) => void): Disposable {
    const format = message.reply;
    if (!format) throw new BusError("BUS_INVALID_MESSAGE", `${message.subject} has no answer`);
    const subject = fillSubject(message.subject, params);
    const data = message.body.encode(body);
    const lane = laneOf(message);
    const hear = (answered: Answered): void => {
      if ("error" in answered) return tell(answered);
      const { packet } = answered;
      if (packet.status?.code === 503)
        return tell({ error: new BusError("BUS_NO_RESPONDERS", `nobody listens to ${subject}`, { retryable: true }) });
      if (sentinel && packet.bytes === 0) return tell({ end: true });
      const parsed = format.parse(message.reply?.codec === "zlib" ? packet.data : packet.text);
      if (parsed.ok) return tell({ reply: parsed.body as Reply<M> });
      counting.count(message.subject, "invalid_reply", { issues: parsed.issues.slice(0, 5) });
      tell({ error: new BusError("BUS_INVALID_MESSAGE", `the answer to ${message.subject} is malformed: ${parsed.issues.join("; ")}`) });
    };
    const inquiry = lane.mux.open(subject, hear, ownInbox === undefined ? undefined : { ownInbox });
    try {
      if (!lane.transport.publish(subject, data, { reply: inquiry.inbox, headers: headersFor(headers) }))
        tell({ error: new BusError("BUS_DISCONNECTED", "the bus is away", { retryable: true }) });
    } catch (error) {
      inquiry[Symbol.dispose]();
      throw error;
    }
    return inquiry;
  }

  function request<M extends AnyMessage>(message: M, body: Body<M>, options: RequestOptions = {}): Promise<Reply<M>> {
    const { timeoutMs = 2_000, signal } = options;
    return new Promise((done, fail) => {
      signal?.throwIfAborted();
      let settled = false;
      const held: Disposable[] = [];
      const end = (): void => {
        settled = true;
        for (const each of held) each[Symbol.dispose]();
        signal?.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        end();
        fail(signal?.reason as Error);
      };
      held.push(ask(message, body, options, (outcome) => {
        if (settled) return;
        end();
        if ("reply" in outcome) done(outcome.reply);
        else fail("error" in outcome ? outcome.error : new BusError("BUS_INVALID_MESSAGE", "an empty answer"));
      }));
      // While the bus is away the end comes before the beginning.
      if (settled) return end();
      held.push(after(clock, timeoutMs, () => {
        end();
        fail(new BusError("BUS_TIMEOUT", `no answer to ${message.subject} within ${timeoutMs} ms`, { retryable: true }));
      }));
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Answers in a line of their own; `next` waits for the one after, until the moment given. */
  function conversation<M extends AnyMessage>(message: M, body: Body<M>, options: RequestOptions & { sentinel?: boolean | undefined }) {
    const { signal } = options;
    signal?.throwIfAborted();
    const box: Outcome<Reply<M>>[] = [];
    let wake: (() => void) | undefined;
    const asked = ask(message, body, options, (outcome) => {
      if (box.length >= maxUnread) return counting.count(message.subject, "dropped_replies");
      box.push(outcome);
      wake?.();
    });
    return {
      async next(untilMs: number): Promise<Outcome<Reply<M>> | undefined> {
        signal?.throwIfAborted();
        const waitMs = untilMs - clock.now();
        if (box.length === 0 && waitMs > 0)
          await new Promise<void>((done, fail) => {
            const timer = after(clock, waitMs, () => end(done));
            const abort = (): void => end(() => fail(signal?.reason as Error));
            const end = (then: () => void): void => {
              wake = undefined;
              timer[Symbol.dispose]();
              signal?.removeEventListener("abort", abort);
              then();
            };
            wake = () => end(done);
            signal?.addEventListener("abort", abort, { once: true });
          });
        return box.shift();
      },
      [Symbol.dispose]: () => asked[Symbol.dispose](),
    };
  }

  async function* answers<M extends AnyMessage>(message: M, body: Body<M>, options: GatherOptions): AsyncGenerator<Reply<M>, void> {
    const { waitMs, max = Infinity, stallMs = Infinity } = options;
    using asked = conversation(message, body, options);
    const untilMs = clock.now() + waitMs;
    let stallsMs = Infinity;
    for (let n = 0; n < max; ) {
      const outcome = await asked.next(Math.min(untilMs, stallsMs));
      if (outcome === undefined || "end" in outcome) return;
      // A malformed answer is counted and passed over; nobody there, or a bus gone away, ends with what came so far.
      if ("error" in outcome) {
        if (outcome.error.code === "BUS_INVALID_MESSAGE") continue;
        if (outcome.error.code === "BUS_FORBIDDEN") throw outcome.error;
        return;
      }
      stallsMs = clock.now() + stallMs;
      n++;
      yield outcome.reply;
    }
  }

  async function* replies<M extends AnyMessage>(message: M, body: Body<M>, options: RequestOptions = {}): AsyncGenerator<Reply<M>, void> {
    const { timeoutMs = 2_000 } = options;
    using asked = conversation(message, body, options);
    for (;;) {
      const outcome = await asked.next(clock.now() + timeoutMs);
      if (outcome === undefined || "end" in outcome)
        throw new BusError("BUS_TIMEOUT", `no further answer to ${message.subject} within ${timeoutMs} ms`, { retryable: true });
      if ("error" in outcome) throw outcome.error;
      yield outcome.reply;
    }
  }

  return { request, answers, replies };
}
