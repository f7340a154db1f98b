import type { Interest } from "./interest.ts";
import type { MemoryPacket } from "./packet.ts";

const smallest = 1_024;
/** Time that one turn of deliveries may take before sockets and timers get theirs, in ms. */
const turnMs = 5;

/**
 * The one line of a hub: publish order is delivery order and nothing is delivered inside publish().
 * A ring of two columns, so that a message costs no allocation here.
 */
export class Line {
  private to: (Interest | undefined)[] = new Array<Interest | undefined>(smallest);
  private what: (MemoryPacket | undefined)[] = new Array<MemoryPacket | undefined>(smallest);
  private head = 0;
  private size = 0;
  private scheduled = false;
  private readonly turn = (): void => this.run();

  push(to: Interest, packet: MemoryPacket): void {
    if (this.size === this.to.length) this.resize(this.size * 2);
    const at = (this.head + this.size++) & (this.to.length - 1);
    this.to[at] = to;
    this.what[at] = packet;
    to.session.take(packet);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.turn);
  }

  private run(): void {
    // What is published meanwhile waits for the next turn.
    let count = this.size;
    const until = performance.now() + turnMs;
    while (count-- > 0) {
      const to = this.to[this.head] as Interest;
      const packet = this.what[this.head] as MemoryPacket;
      this.to[this.head] = this.what[this.head] = undefined;
      this.head = (this.head + 1) & (this.to.length - 1);
      this.size--;
      if (to.session.held) to.session.held.push({ to, packet });
      else deliver(to, packet);
      if ((count & 63) === 0 && performance.now() > until) break;
    }
    if (this.size > 0) return void setImmediate(this.turn);
    this.scheduled = false;
    if (this.to.length > 65_536) this.resize(smallest);
  }

  private resize(length: number): void {
    const to = new Array<Interest | undefined>(length);
    const what = new Array<MemoryPacket | undefined>(length);
    for (let i = 0; i < this.size; i++) {
      const from = (this.head + i) & (this.to.length - 1);
      to[i] = this.to[from];
      what[i] = this.what[from];
    }
    [this.to, this.what, this.head] = [to, what, 0];
  }
}

/** Hands over, unless the receiver is gone. A receiver that throws harms nobody. */
export function deliver(to: Interest, packet: MemoryPacket): void {
  const { session } = to;
  session.pendingBytes -= packet.bytes + packet.subject.length;
  if (!to.live || !session.open) return;
  try {
    to.receive(packet);
  } catch (error) {
    session.failed(packet.subject, error);
  }
}
