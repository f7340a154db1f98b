import { matches } from "../subject.ts";
import type { FaultPlan } from "./faults.ts";
import type { Islands } from "./islands.ts";
import { copyOf, type Letter } from "./packet.ts";
import { hash01 } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";
import type { TraceRecorder } from "./trace.ts";
import type { Packet } from "../transport.ts";

/** A connection as the server sees it. */
export interface Peer {
  readonly name: string;
  readonly echo: boolean;
  /** Grows with every disconnect: what was on its way is lost. */
  epoch: number;
  /** Microsecond before which nothing more leaves or arrives, so that order holds. */
  upFreeUs: number;
  downFreeUs: number;
  /** Bytes on their way to it. */
  pendingBytes: number;
  /** More waits for it than may. */
  overrun(subject: string): void;
}

/** A subscription as the server sees it. */
export interface Interest {
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly max: number | undefined;
  /** Subjects that its user may not hear although the pattern takes them. */
  readonly hidden: ((subject: string) => boolean) | undefined;
  readonly peer: Peer;
  routed: number;
  /** On their way to it. */
  inFlight: number;
  receive(packet: Packet): void;
}

/** The server in the middle: every packet takes one hop up, is matched with interests, and takes one hop down to each. */
export interface Network {
  /** Packets that have not arrived, but for those to paused nodes. */
  readonly inFlight: number;
  /** One hop to the server, in order. `lost` runs when the connection broke meanwhile. */
  up(peer: Peer, run: () => void, lost?: () => void): void;
  /** One hop from the server, in order; `from` decides which link it takes. */
  down(peer: Peer, from: string, run: () => void, lost?: () => void): void;
  add(interest: Interest): void;
  remove(interest: Interest): void;
  route(peer: Peer, letter: Letter, message: number): void;
}

export interface NetworkParts {
  readonly seed: number;
  readonly maxPendingBytes: number;
  readonly scheduler: Scheduler;
  readonly plan: FaultPlan;
  readonly islands: Islands;
  readonly trace: TraceRecorder;
  /** Name of a subject in the trace. */
  readonly shown: (subject: string) => string;
}

export function createNetwork({ seed, maxPendingBytes, scheduler, plan, islands, trace, shown }: NetworkParts): Network {
  const interests = new Set<Interest>();
  const inFlight = new Map<string | undefined, number>();
  let picks = 0;

  const hop = (atUs: number, peer: Peer, node: string | undefined, run: (whole: boolean) => void): void => {
    const { epoch } = peer;
    inFlight.set(node, (inFlight.get(node) ?? 0) + 1);
    scheduler.at(atUs, () => {
      inFlight.set(node, (inFlight.get(node) ?? 1) - 1);
      run(peer.epoch === epoch);
    }, node === undefined ? {} : { node });
  };

  const up: Network["up"] = (peer, run, lost) => {
    const n = plan.nextOn(peer.name, "");
    peer.upFreeUs = Math.max(peer.upFreeUs, scheduler.nowUs + plan.hopUs(peer.name, "", String(n)));
    hop(peer.upFreeUs, peer, undefined, (whole) => (whole ? run() : lost?.()));
  };

  const arrival = (peer: Peer, from: string, { key, heldUs = 0 }: { key: string; heldUs?: number }): number => {
    const atUs = scheduler.nowUs + plan.hopUs(from, peer.name, key);
    // What is held back does not hold back what follows.
    if (heldUs > 0) return Math.max(peer.downFreeUs, atUs) + heldUs;
    return (peer.downFreeUs = Math.max(peer.downFreeUs, atUs));
  };

  const down: Network["down"] = (peer, from, run, lost) =>
    hop(arrival(peer, from, { key: `answer ${plan.nextOn("", peer.name)}` }), peer, peer.name, (whole) => (whole ? run() : lost?.()));

  const carry = (from: string, interest: Interest, letter: Letter, message: number): void => {
    const { peer } = interest;
    const n = plan.nextOn(from, peer.name);
    const subject = shown(letter.subject);
    const where = { from, to: peer.name, n, subject };
    const entry = { from, to: peer.name, subject, message };
    interest.routed++;
    if (plan.strikes("drop", where)) {
      interest.routed--;
      trace.add({ event: "drop", ...entry });
      return;
    }
    const late = plan.strikes("reorder", where);
    if (late) trace.add({ event: "reorder", ...entry });
    const copy = (key: string, heldUs: number): void => {
      interest.inFlight++;
      peer.pendingBytes += letter.data.length;
      if (peer.pendingBytes > maxPendingBytes) scheduler.at(scheduler.nowUs, () => peer.overrun(letter.subject));
      hop(arrival(peer, from, { key, heldUs }), peer, peer.name, (whole) => {
        interest.inFlight--;
        if (whole) peer.pendingBytes -= letter.data.length;
        const cut = !islands.hears(from, peer.name);
        if (cut || !whole) {
          interest.routed--;
          trace.add({ event: cut ? "cut" : "lost", ...entry });
          return;
        }
        trace.add({ event: "deliver", ...entry });
        interest.receive(copyOf(letter));
      });
    };
    copy(String(n), late ? plan.heldUs(from, peer.name, n) : 0);
    if (!plan.strikes("duplicate", where)) return;
    trace.add({ event: "duplicate", ...entry });
    interest.routed++;
    copy(`${n} again`, late ? plan.heldUs(from, peer.name, n) * 2 : 0);
  };

  const takes = ({ pattern, max, hidden, peer, routed }: Interest, from: Peer, subject: string): boolean =>
    (max === undefined || routed < max) && (from.echo || peer !== from) && matches(pattern, subject) && !hidden?.(subject);

  return {
    get inFlight() {
      let sum = 0;
      for (const [node, n] of inFlight) if (node === undefined || !scheduler.isPaused(node)) sum += n;
      return sum;
    },
    up,
    down,
    add: (interest) => void interests.add(interest),
    remove: (interest) => void interests.delete(interest),
    route(peer, letter, message) {
      let reached = 0;
      const groups = new Map<string, Interest[]>();
      const plain: Interest[] = [];
      for (const interest of interests) {
        if (!takes(interest, peer, letter.subject)) continue;
        if (!islands.hears(peer.name, interest.peer.name)) {
          trace.add({ event: "cut", from: peer.name, to: interest.peer.name, subject: shown(letter.subject), message });
          continue;
        }
        reached++;
        if (interest.queue === undefined) plain.push(interest);
        else {
          // A NATS server keeps one list of members per name for a subject, whatever their patterns.
          const group = groups.get(interest.queue);
          if (group) group.push(interest);
          else groups.set(interest.queue, [interest]);
        }
      }
      for (const interest of plain) carry(peer.name, interest, letter, message);
      for (const group of groups.values())
        carry(peer.name, group[Math.floor(hash01(`${seed}/member/${picks++}`) * group.length)] as Interest, letter, message);
      if (reached > 0 || letter.reply === undefined) return;
      trace.add({ event: "no_responders", to: peer.name, subject: shown(letter.subject), message });
      const answer: Letter = { subject: letter.reply, data: new Uint8Array(), reply: undefined, headers: undefined, status: { code: 503, description: "No Responders" } };
      const asking = [...interests].filter((interest) => interest.peer === peer && matches(interest.pattern, answer.subject));
      for (const interest of asking) {
        interest.routed++;
        interest.inFlight++;
        const arrived = (): void => void interest.inFlight--;
        down(peer, "", () => {
          arrived();
          interest.receive(copyOf(answer));
        }, arrived);
      }
    },
  };
}
