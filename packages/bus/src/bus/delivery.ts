import { BusError } from "../errors.ts";
import { firstHeader, headerNames, type Headers } from "../headers.ts";
import type { AnyMessage, Body, Reply } from "../schema.ts";
import { readParams } from "../subject.ts";
import type { Packet } from "../transport.ts";
import type { Seen } from "./once.ts";
import { readTrace, type Trace } from "./trace.ts";

/** One message as a subscriber sees it. */
export interface Delivery<M extends AnyMessage> {
  readonly body: Body<M>;
  readonly subject: string;
  /** The values of the names in the subject template: `{ id }` for `dea.{id}.start`. */
  readonly params: Readonly<Record<string, string>>;
  readonly headers: Headers | undefined;
  /** Where the message belongs; undefined when the sender writes no trace. */
  readonly trace: Trace | undefined;
  /**
   * Answers the sender.
   * @returns false when the sender does not want an answer, or the bus is away
   * @throws BusError `BUS_INVALID_MESSAGE`
   */
  respond(body: Reply<M>): boolean;
}

/** Sends an answer; the trace is that of the message being handled. */
export type Answer = (reply: string, data: Uint8Array | string, trace: Trace | undefined) => boolean;

/** A class, for speed: most fields are never asked for. */
export class ReceivedDelivery<M extends AnyMessage> implements Delivery<M> {
  readonly body: Body<M>;
  readonly #message: M;
  readonly #packet: Packet;
  readonly #answer: Answer;
  readonly #seen: Seen | undefined;
  #trace: Trace | null | undefined = null;

  constructor(message: M, packet: Packet, body: Body<M>, { answer, seen }: { answer: Answer; seen: Seen | undefined }) {
    this.#message = message;
    this.#packet = packet;
    this.body = body;
    this.#answer = answer;
    this.#seen = seen;
  }

  get subject(): string {
    return this.#packet.subject;
  }

  get params(): Readonly<Record<string, string>> {
    return readParams(this.#message.subject, this.#packet.subject);
  }

  get headers(): Headers | undefined {
    return this.#packet.headers;
  }

  get trace(): Trace | undefined {
    return (this.#trace ??= readTrace(this.#packet.headers)) ?? undefined;
  }

  // Handlers take it apart, `({ body, respond }) => respond(...)`, so it must not need `this`.
  get respond(): (answer: Reply<M>) => boolean {
    return (answer) => this.#respond(answer);
  }

  #respond(answer: Reply<M>): boolean {
    if (this.#packet.reply === undefined && !this.#seen) return false;
    const format = this.#message.reply;
    if (!format) throw new BusError("BUS_INVALID_MESSAGE", `${this.#message.subject} has no answer`);
    const data = format.encode(answer);
    if (this.#seen) {
      this.#seen.answer = data;
      for (const reply of this.#seen.waiting.splice(0)) this.#answer(reply, data, this.trace);
    }
    return this.#packet.reply !== undefined && this.#answer(this.#packet.reply, data, this.trace);
  }
}

/** The name of this very command: what its declaration says, else the message id. */
export function commandId(message: AnyMessage, packet: Packet, body: unknown): string | undefined {
  const own = message.id === undefined ? undefined : (body as Record<string, unknown>)[message.id];
  return typeof own === "string" && own !== "" ? own : firstHeader(packet.headers, headerNames.message);
}
