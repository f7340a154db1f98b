import type { Msg } from "nats";
import type { Headers } from "../headers.ts";
import type { Packet } from "../transport.ts";

/** A packet over the client's message. Nothing is decoded before it is asked for: most receivers read the text and no more. */
export class NatsPacket implements Packet {
  readonly #message: Msg;
  readonly #raw: Uint8Array;
  #subject: string | undefined;
  #data: Uint8Array | undefined;
  #text: string | undefined;
  #reply: string | undefined;
  #headers: Headers | undefined;

  /** @param subject where it is known without decoding: the subscription has no wildcards */
  constructor(message: Msg, subject: string | undefined) {
    this.#message = message;
    this.#raw = message.data;
    this.#subject = subject;
  }

  get subject(): string {
    return (this.#subject ??= this.#message.subject);
  }

  get data(): Uint8Array {
    // The client's bytes are a window on everything that came with the same read.
    return (this.#data ??= new Uint8Array(this.#raw));
  }

  get view(): Uint8Array {
    return this.#raw;
  }

  get text(): string {
    return (this.#text ??= utf8(this.#raw));
  }

  get bytes(): number {
    return this.#raw.length;
  }

  get reply(): string | undefined {
    return (this.#reply ??= this.#message.reply ?? "") || undefined;
  }

  get headers(): Headers | undefined {
    const block = this.#message.headers;
    if (!block || this.#headers) return this.#headers;
    const headers: Record<string, readonly string[]> = {};
    for (const [key, values] of block) if (key !== "__proto__") headers[key] = values;
    return Object.keys(headers).length === 0 ? undefined : (this.#headers = headers);
  }

  get status(): Packet["status"] {
    const block = this.#message.headers;
    return block && block.code > 0 ? { code: block.code, description: block.description } : undefined;
  }
}

const utf8 = (bytes: Uint8Array): string => (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString("utf8");
