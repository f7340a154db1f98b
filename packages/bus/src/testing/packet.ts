import type { Headers } from "../headers.ts";
import type { Packet } from "../transport.ts";

const decoder = new TextDecoder();

/** A packet with bytes of its own for one receiver; the text is read when it is asked for. */
class CarriedPacket implements Packet {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply: string | undefined;
  readonly headers: Headers | undefined;
  readonly status: Packet["status"];

  constructor({ subject, data, reply, headers, status }: Letter) {
    this.subject = subject;
    this.data = data.slice();
    this.reply = reply;
    this.headers = headers;
    this.status = status;
  }

  get text(): string {
    return decoder.decode(this.data);
  }

  get bytes(): number {
    return this.data.length;
  }
}

/** What a sender gave, once. */
export type Letter = Pick<Packet, "subject" | "data" | "reply" | "headers" | "status">;

export const copyOf = (letter: Letter): Packet => new CarriedPacket(letter);
