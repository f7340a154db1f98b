import type { Clock } from "../ports.ts";

/** What became of a message that was seen before. */
export interface Seen {
  readonly id: string;
  readonly untilMs: number;
  /** The answers that were given, to be given again. */
  answers: readonly (Uint8Array | string)[];
  /** Subjects of those who asked; later answers go to all of them. */
  readonly asked: string[];
  answered: boolean;
}

export interface OnceOptions {
  /** Ids remembered. Default 10 000. */
  remember?: number;
  /** How long. Default 600 000 ms. */
  forMs?: number;
  /** Bytes of answers remembered for all ids together; of the oldest only the ids stay. Default 16 MiB. */
  maxAnswerBytes?: number;
}

export interface Once {
  /** What is known of the id; undefined when it is new. */
  find(id: string): Seen | undefined;
  /** From now on the id is known. */
  begin(id: string): Seen;
  /** Remembers an answer. */
  keep(seen: Seen, answer: Uint8Array | string): void;
  /** The id is new again, unless it has been answered: its handler failed and has done nothing. */
  fail(seen: Seen): void;
}

/** Those who are told the answers of one command. */
const maxAsked = 16;

/** Remembers ids, so that a command that arrives twice is carried out once and answered twice. */
export function createOnce(clock: Clock, { remember = 10_000, forMs = 600_000, maxAnswerBytes = 16 * 1_048_576 }: OnceOptions = {}): Once {
  const known = new Map<string, Seen>();
  // Those with answers, the oldest first.
  const answered = new Set<Seen>();
  let bytes = 0;
  const dropAnswers = (seen: Seen): void => {
    if (!answered.delete(seen)) return;
    for (const each of seen.answers) bytes -= each.length;
    seen.answers = [];
  };
  const forget = (seen: Seen): void => {
    known.delete(seen.id);
    dropAnswers(seen);
  };
  return {
    find(id) {
      const nowMs = clock.now();
      for (const oldest of known.values()) {
        if (oldest.untilMs > nowMs) break;
        forget(oldest);
      }
      return known.get(id);
    },
    begin(id) {
      for (const oldest of known.values()) {
        if (known.size < remember) break;
        forget(oldest);
      }
      const seen: Seen = { id, untilMs: clock.now() + forMs, answers: [], asked: [], answered: false };
      known.set(id, seen);
      return seen;
    },
    keep(seen, answer) {
      seen.answered = true;
      if (known.get(seen.id) !== seen) return;
      seen.answers = [...seen.answers, answer];
      answered.add(seen);
      bytes += answer.length;
      for (const oldest of answered) {
        if (bytes <= maxAnswerBytes) break;
        dropAnswers(oldest);
      }
    },
    fail(seen) {
      if (!seen.answered && known.get(seen.id) === seen) forget(seen);
    },
  };
}

/** Notes one more who wants the answers. */
export function noteAsked(seen: Seen, reply: string): void {
  if (seen.asked.length < maxAsked && !seen.asked.includes(reply)) seen.asked.push(reply);
}
