import type { Headers } from "../headers.ts";
import type { Packet } from "../transport.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const payloadBytes = (payload: string | Uint8Array): number => (typeof payload === "string" ? Buffer.byteLength(payload) : payload.byteLength);

/** What was published, once for all receivers. */
export interface Letter {
  readonly subject: string;
  readonly payload: string | Uint8Array;
  readonly bytes: number;
  readonly reply: string | undefined;
  readonly headers: Headers | undefined;
  readonly status: Packet["status"];
}

/** A letter in the hands of one receiver. Text stays text until somebody asks for bytes; what several receivers got is copied when one of them looks. */
export class MemoryPacket implements Packet {
  private readonly letter: Letter;
  private readonly shared: boolean;
  private ownData: Uint8Array | undefined = undefined;
  private ownHeaders: Headers | undefined = undefined;

  constructor(letter: Letter, shared: boolean) {
    this.letter = letter;
    this.shared = shared;
  }

  get subject(): string {
    return this.letter.subject;
  }

  get bytes(): number {
    return this.letter.bytes;
  }

  get reply(): string | undefined {
    return this.letter.reply;
  }

  get status(): Packet["status"] {
    return this.letter.status;
  }

  get data(): Uint8Array {
    if (this.ownData !== undefined) return this.ownData;
    const { payload } = this.letter;
    return (this.ownData = typeof payload === "string" ? encoder.encode(payload) : this.shared ? payload.slice() : payload);
  }

  get text(): string {
    const { payload } = this.letter;
    return typeof payload === "string" ? payload : decoder.decode(this.ownData ?? payload);
  }

  get headers(): Headers | undefined {
    const { headers } = this.letter;
    if (headers === undefined || !this.shared) return headers;
    return (this.ownHeaders ??= Object.fromEntries(Object.entries(headers).map(([key, values]) => [key, [...values]])));
  }
}

export const emptyPacket = new MemoryPacket({ subject: "", payload: "", bytes: 0, reply: undefined, headers: undefined, status: undefined }, false);
