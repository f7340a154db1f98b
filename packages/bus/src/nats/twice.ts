import type { Msg } from "nats";

/** Two connections of one client bring the same packet so far apart at most. */
export const apartMs = 1_000;

/** Tells which packets of two connections are the same one, while a subscription goes from the old one to the new one. */
export interface Twice {
  /** The old connection has delivered it. */
  old(message: Msg): void;
  /** The new connection has brought it. @returns true when the old one has delivered it */
  known(message: Msg): boolean;
  /** Keeps what the new connection has brought first. */
  keep(message: Msg): void;
  /** What has been kept and not delivered by the old connection, in order. */
  rest(): Msg[];
}

interface Kept {
  readonly message: Msg;
  delivered: boolean;
}

/**
 * Packets that look alike are told apart by how often they came: each connection brings every packet once. Where the new connection began to
 * bring them is not known to the packet, so of a series of alike packets less than `apartMs` apart one may be taken for another and be lost.
 */
export function createTwice(now: () => number = () => performance.now()): Twice {
  const delivered = new Map<string, number[]>();
  const waiting = new Map<string, Kept[]>();
  const kept: Kept[] = [];
  const at = <T>(map: Map<string, T[]>, key: string): T[] => map.get(key) ?? map.set(key, []).get(key) as T[];
  return {
    old(message) {
      const print = fingerprint(message);
      const same = waiting.get(print)?.shift();
      if (same) same.delivered = true;
      else at(delivered, print).push(now());
    },
    known(message) {
      // The youngest: what the old connection delivered before the new one listened has no second half, and grows old.
      const times = delivered.get(fingerprint(message));
      const ms = times?.pop();
      if (ms === undefined) return false;
      if (now() - ms <= apartMs) return true;
      (times as number[]).length = 0;
      return false;
    },
    keep(message) {
      const each = { message, delivered: false };
      kept.push(each);
      at(waiting, fingerprint(message)).push(each);
    },
    rest: () => kept.splice(0).filter((each) => !each.delivered).map(({ message }) => message),
  };
}

const fingerprint = ({ subject, reply = "", data, headers }: Msg): string =>
  `${subject} ${reply} ${headers ? [...headers].flat(2).join("\n") : ""}\0${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1")}`;
