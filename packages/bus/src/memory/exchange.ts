import type { Packet } from "../transport.ts";
import { Interest, type Session } from "./interest.ts";
import { Interests } from "./interests.ts";
import { Line } from "./line.ts";
import { emptyPacket, type Letter, MemoryPacket } from "./packet.ts";

const nobody: Packet["status"] = { code: 503, description: "No Responders" };

/** What routes: the part of a server. */
export class Exchange {
  readonly interests = new Interests();
  private readonly line = new Line();
  private readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  /**
   * Sends one copy to every plain interest and to one member of every group.
   * @param from the sender, when it shall not hear itself
   * @returns how many it reached
   */
  route(from: Session | undefined, letter: Letter): number {
    const { subject } = letter;
    const { plain, groups, shared: several } = this.interests.find(subject);
    let reached = 0;
    let finished: Interest[] | undefined;
    for (let p = 0; p < plain.length; p++) {
      const list = plain[p] as (typeof plain)[number];
      const shared = several || list.length > 1;
      for (let i = 0; i < list.length; i++) {
        const interest = list[i] as Interest;
        if (!takes(interest, from, subject)) continue;
        reached++;
        this.line.push(interest, new MemoryPacket(letter, shared));
        if (--interest.left <= 0) (finished ??= []).push(interest);
      }
    }
    for (let g = 0; g < groups.length; g++) {
      const interest = this.choose(groups[g] as (typeof groups)[number], from, subject);
      if (!interest) continue;
      reached++;
      this.line.push(interest, new MemoryPacket(letter, several));
      if (--interest.left <= 0) (finished ??= []).push(interest);
    }
    // After the loop: it walks the very lists that this changes.
    if (finished) for (const interest of finished) this.interests.remove(interest);
    return reached;
  }

  /** Some member that takes it, each with the same chance. */
  private choose(lists: readonly (readonly Interest[])[], from: Session | undefined, subject: string): Interest | undefined {
    const members = lists.length === 1 ? (lists[0] as readonly Interest[]) : lists.flat();
    const start = members.length === 1 ? 0 : Math.floor(this.random() * members.length);
    for (let i = 0; i < members.length; i++) {
      const interest = members[(start + i) % members.length] as Interest;
      if (takes(interest, from, subject)) return interest;
    }
    return undefined;
  }

  /** Tells the asker, and nobody else, that its question reached nobody. */
  tellNobody(asker: Session, reply: string): void {
    for (const list of this.interests.find(reply).plain)
      for (const interest of list)
        if (interest.session === asker) {
          this.line.push(interest, new MemoryPacket({ subject: reply, payload: "", bytes: 0, reply: undefined, headers: undefined, status: nobody }, false));
          if (--interest.left <= 0) this.interests.remove(interest);
          return;
        }
  }

  /** Runs `done` when all that waits now has been delivered; `lost` when the session ends before. */
  mark(session: Session, done: (lost: boolean) => void): void {
    const finish = (lost: boolean): void => {
      if (session.waiting.delete(finish)) done(lost);
    };
    session.waiting.add(finish);
    this.line.push(new Interest(session, "", () => finish(false)), emptyPacket);
  }

  /** Delivers what was held back of a session. */
  release(session: Session): void {
    const held = session.held ?? [];
    session.held = undefined;
    for (const { to, packet } of held) {
      session.pendingBytes -= packet.bytes + packet.subject.length;
      this.line.push(to, packet);
    }
  }
}

const takes = (interest: Interest, from: Session | undefined, subject: string): boolean =>
  interest.session !== from && interest.session.open && interest.left > 0 && (interest.hidden === undefined || !interest.hidden(subject));
