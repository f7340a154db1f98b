import type { Packet } from "../transport.ts";
import type { MemoryPacket } from "./packet.ts";
import type { ResponseRights } from "./rights.ts";

/** What lasts from one connect to the next disconnect: cutting it loses what waits for it. */
export class Session {
  /** Taken away when more than the limit waits; from then on nothing is routed here. */
  open = true;
  pendingBytes = 0;
  /** Packets held back while reading is stalled on purpose; undefined when it is not. */
  held: { to: Interest; packet: MemoryPacket }[] | undefined = undefined;
  /** Those who wait for the carrier; told when it goes away. */
  readonly waiting = new Set<(lost: boolean) => void>();
  readonly maxPendingBytes: number;
  readonly responses: ResponseRights | undefined;
  private readonly onOverrun: (session: Session, subject: string) => void;
  private readonly onFailure: (subject: string, error: unknown) => void;

  constructor(options: { maxPendingBytes: number; responses: ResponseRights | undefined; onOverrun: (session: Session, subject: string) => void; onFailure: (subject: string, error: unknown) => void }) {
    this.maxPendingBytes = options.maxPendingBytes;
    this.responses = options.responses;
    this.onOverrun = options.onOverrun;
    this.onFailure = options.onFailure;
  }

  /** Counts what starts to wait here. */
  take(packet: Packet): void {
    this.pendingBytes += packet.bytes + packet.subject.length;
    if (packet.reply !== undefined && this.responses) this.responses.asked(packet.reply);
    if (this.pendingBytes <= this.maxPendingBytes || !this.open) return;
    this.open = false;
    this.onOverrun(this, packet.subject);
  }

  failed(subject: string, error: unknown): void {
    this.onFailure(subject, error);
  }
}

/** A subscription as the hub sees it, for the life of one session. */
export class Interest {
  /** False: what is still on the way to it is thrown away. */
  live = true;
  /** Packets that may still be routed to it. */
  left: number;
  readonly session: Session;
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly receive: (packet: Packet) => void;
  /** Subjects within the pattern that the user may not see. */
  readonly hidden: ((subject: string) => boolean) | undefined;

  constructor(session: Session, pattern: string, receive: (packet: Packet) => void, { queue, left = Infinity, hidden }: { queue?: string | undefined; left?: number; hidden?: ((subject: string) => boolean) | undefined } = {}) {
    this.session = session;
    this.pattern = pattern;
    this.receive = receive;
    this.queue = queue;
    this.left = left;
    this.hidden = hidden;
  }
}
