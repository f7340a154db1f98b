import { createHash } from "node:crypto";
import { BusError } from "../errors.ts";
import { firstHeader, headerNames, type Headers } from "../headers.ts";
import type { AnyMessage, Body, Reply } from "../schema.ts";
import { readParams } from "../subject.ts";
import type { Packet } from "../transport.ts";
import type { Once, Seen } from "./once.ts";
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
   * @throws BusError `BUS_INVALID_MESSAGE`, `BUS_PAYLOAD_TOO_LARGE`
   */
  respond(body: Reply<M>): boolean;
}

/** Sends an answer; the trace is that of the message being handled. */
export type Answer = (message: AnyMessage, reply: string, data: Uint8Array | string, trace: Trace | undefined) => boolean;

export interface Delivering {
  readonly answer: Answer;
  /** What the command is remembered by, where it is carried out once. */
  readonly once?: Once;
  readonly seen?: Seen;
}

/** A class, for speed: most fields are never asked for. */
export class ReceivedDelivery<M extends AnyMessage> implements Delivery<M> {
  readonly body: Body<M>;
  readonly #message: M;
  readonly #packet: Packet;
  readonly #with: Delivering;
  #trace: Trace | null | undefined = null;

  constructor(message: M, packet: Packet, body: Body<M>, parts: Delivering) {
    this.#message = message;
    this.#packet = packet;
    this.body = body;
    this.#with = parts;
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

  /** Its handler failed. What has not been answered may be tried again. */
  failed(): void {
    const { once, seen } = this.#with;
    if (seen) once?.fail(seen);
  }

  #respond(body: Reply<M>): boolean {
    const { answer, once, seen } = this.#with;
    const { reply } = this.#packet;
    if (reply === undefined && !seen) return false;
    const message = this.#message;
    if (!message.reply) throw new BusError("BUS_INVALID_MESSAGE", `${message.subject} has no answer`);
    const data = message.reply.encode(body);
    if (!seen) return reply !== undefined && answer(message, reply, data, this.trace);
    let sent = false;
    for (const each of seen.asked) if (answer(message, each, data, this.trace) && each === reply) sent = true;
    once?.keep(seen, data);
    return sent;
  }
}

/** The name of this very command: what its declaration says, else the message id. The same name to another receiver is another command. */
export function commandId(message: AnyMessage, packet: Packet, body: unknown): string | undefined {
  const own = message.id === undefined || typeof body !== "object" || body === null ? undefined : (body as Record<string, unknown>)[message.id];
  const id = typeof own === "string" && own !== "" ? own : firstHeader(packet.headers, headerNames.message);
  if (id === undefined) return undefined;
  const short = id.length <= 128 ? id : createHash("sha256").update(id).digest("base64url");
  return message.subject.includes("{") ? `${packet.subject} ${short}` : short;
}
