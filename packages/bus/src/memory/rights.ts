import { matches } from "../subject.ts";
import type { Clock } from "../ports.ts";

/**
 * Subjects that a user may use, as the configuration of a NATS server writes it. Without `allow` everything that is not denied.
 * For `subscribe` an entry of two words is a subject and the queue group for which alone it counts.
 */
export interface SubjectRights {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}

export interface UserRights {
  readonly publish?: SubjectRights;
  readonly subscribe?: SubjectRights;
  /** May answer what it was asked, whatever `publish` says: `true` is once and within two minutes (`allow_responses`). */
  readonly allowResponses?: boolean | { readonly max?: number; readonly expiresMs?: number };
}

/** Whether every subject that `pattern` takes is one that `within` takes. */
export function isWithin(pattern: string, within: string): boolean {
  const inner = pattern.split(".");
  const outer = within.split(".");
  for (let i = 0; i < outer.length; i++) {
    if (outer[i] === ">" && i === outer.length - 1) return inner.length > i;
    const token = inner[i];
    if (token === undefined || token === ">") return false;
    if (outer[i] !== "*" && (token === "*" || token !== outer[i])) return false;
  }
  return inner.length === outer.length;
}

/** Whether some subject is taken by both patterns. */
export function overlap(one: string, two: string): boolean {
  const a = one.split(".");
  const b = two.split(".");
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === undefined || y === undefined) return false;
    if (x === ">" || y === ">") return true;
    if (x !== "*" && y !== "*" && x !== y) return false;
  }
  return true;
}

/** Answers that were asked for and may be given once more or several times. */
export class ResponseRights {
  private readonly open = new Map<string, { left: number; until: number }>();
  private readonly max: number;
  private readonly expiresMs: number;
  private readonly clock: Clock;

  constructor({ max = 1, expiresMs = 120_000 }: { max?: number; expiresMs?: number }, clock: Clock) {
    this.max = max;
    this.expiresMs = expiresMs;
    this.clock = clock;
  }

  asked(reply: string): void {
    // Bounded: the one that was asked for first is the one that nobody waits for any more.
    if (this.open.size >= 4_096) this.open.delete(this.open.keys().next().value as string);
    this.open.set(reply, { left: this.max, until: this.clock.now() + this.expiresMs });
  }

  use(reply: string): boolean {
    const right = this.open.get(reply);
    if (!right) return false;
    if (--right.left <= 0) this.open.delete(reply);
    return this.clock.now() <= right.until;
  }
}

export interface Rights {
  mayPublish(subject: string, responses: ResponseRights | undefined): boolean;
  maySubscribe(pattern: string, queue: string | undefined): boolean;
  /** For a permitted pattern that reaches over denied subjects: which of them stay hidden. */
  hidden(pattern: string): ((subject: string) => boolean) | undefined;
  responses(clock: Clock): ResponseRights | undefined;
}

/** For a member of a group the entries that name groups decide, where there are any (nats-server `canSubscribe`). */
function lists(entries: readonly string[], pattern: string, queue: string | undefined): boolean {
  const fitting = entries.map((entry) => entry.trim().split(/\s+/)).filter(([subject = ""]) => isWithin(pattern, subject));
  const groups = fitting.flatMap(([, group]) => group ?? []);
  if (queue !== undefined && groups.length > 0) return groups.some((group) => isWithin(queue, group));
  return fitting.length > groups.length;
}

export function createRights({ publish = {}, subscribe = {}, allowResponses = false }: UserRights): Rights {
  const allowed = publish.allow ?? (allowResponses === false ? [">"] : []);
  const known = new Map<string, boolean>();
  return {
    mayPublish(subject, responses) {
      let may = known.get(subject);
      if (may === undefined) {
        may = allowed.some((pattern) => matches(pattern, subject)) && !(publish.deny ?? []).some((pattern) => matches(pattern, subject));
        if (known.size >= 4_096) known.clear();
        known.set(subject, may);
      }
      return may || (responses?.use(subject) ?? false);
    },
    maySubscribe: (pattern, queue) => lists(subscribe.allow ?? [">"], pattern, queue) && !lists(subscribe.deny ?? [], pattern, queue),
    hidden(pattern) {
      const denied = (subscribe.deny ?? []).filter((deny) => !deny.includes(" ") && overlap(pattern, deny));
      return denied.length === 0 ? undefined : (subject) => denied.some((deny) => matches(deny, subject));
    },
    responses: (clock) => (allowResponses === false ? undefined : new ResponseRights(allowResponses === true ? {} : allowResponses, clock)),
  };
}
