import { isIPv6 } from "node:net";
import { sql } from "kysely";
import { nameKey } from "./users.ts";
import { systemClock, type Clock } from "./ports.ts";
import type { UaaDatabase } from "./schema.ts";

export interface LockoutPolicy {
  /** Wrong passwords for one name from one address. Default 5. */
  failures: number;
  /** Wrong passwords for one name from all addresses it never logged in from. Default 50. */
  failuresFromStrangers: number;
  /** Counted within. Default 1 200 000 ms. */
  windowMs: number;
  /** Locked for. Default 300 000 ms. */
  lockMs: number;
  /** How long an address is remembered as the user's own. Default 30 days. */
  knownMs: number;
}

export const defaultLockout: LockoutPolicy = { failures: 5, failuresFromStrangers: 50, windowMs: 1_200_000, lockMs: 300_000, knownMs: 2_592_000_000 };

/**
 * Locks a name for an address after too many wrong passwords, and for all unknown addresses after many more:
 * guessing stays slow, and a stranger cannot lock the owner out of the place where the owner works.
 * Names that nobody has are counted like others, so the answers tell nothing.
 */
export interface Lockout {
  locked(name: LockoutName, address: string): Promise<boolean>;
  /** Counts a failure, unless the name is locked by now: of a burst exactly as many count as the limit says. */
  failed(name: LockoutName, address: string): Promise<"counted" | "locked">;
  succeeded(name: LockoutName, address: string): Promise<void>;
  /** Forgets all failures of a name. */
  unlock(name: LockoutName): Promise<void>;
  /** Removes rows that say nothing any more. */
  prune(): Promise<void>;
}

export interface LockoutName {
  userName: string;
  origin: string;
}

const strangers = "*";

export function createLockout(db: UaaDatabase, { policy = defaultLockout, clock = systemClock }: { policy?: LockoutPolicy; clock?: Clock } = {}): Lockout {
  const { failures, failuresFromStrangers, windowMs, lockMs, knownMs } = policy;
  const subjectOf = ({ userName, origin }: LockoutName) => `${origin}:${nameKey(userName).slice(0, 255)}`;

  async function rows(subject: string, source: string) {
    const found = await db.selectFrom("uaa_attempts").selectAll().where("subject", "=", subject).where("source", "in", [source, strangers]).execute();
    const mine = found.find((row) => row.source === source);
    return {
      mine,
      all: found.find((row) => row.source === strangers),
      known: clock.now() - (mine?.succeeded_at ?? 0) < knownMs,
    };
  }

  /** One more failure; the one that reaches the limit locks and starts the count anew. */
  async function count(subject: string, source: string, limit: number): Promise<boolean> {
    const now = clock.now();
    const next = sql<number>`(case when uaa_attempts.window_at < ${now - windowMs} then 1 else uaa_attempts.failures + 1 end)`;
    const counted = await db.insertInto("uaa_attempts")
      .values({ subject, source, failures: limit <= 1 ? 0 : 1, window_at: now, locked_until: limit <= 1 ? now + lockMs : 0, succeeded_at: null })
      .onConflict((conflict) => conflict.columns(["subject", "source"]).doUpdateSet({
        failures: sql<number>`case when ${next} >= ${limit} then 0 else ${next} end`,
        window_at: sql<number>`case when uaa_attempts.window_at < ${now - windowMs} then ${now}::bigint else uaa_attempts.window_at end`,
        locked_until: sql<number>`case when ${next} >= ${limit} then ${now + lockMs}::bigint else uaa_attempts.locked_until end`,
      }).where("uaa_attempts.locked_until", "<=", now))
      .returning("subject")
      .executeTakeFirst();
    return counted !== undefined;
  }

  return {
    async locked(name, address) {
      const { mine, all, known } = await rows(subjectOf(name), sourceOf(address));
      const now = clock.now();
      return (mine?.locked_until ?? 0) > now || (!known && (all?.locked_until ?? 0) > now);
    },
    async failed(name, address) {
      const subject = subjectOf(name);
      const source = sourceOf(address);
      const { known } = await rows(subject, source);
      if (!(await count(subject, source, failures))) return "locked";
      return known || (await count(subject, strangers, failuresFromStrangers)) ? "counted" : "locked";
    },
    async succeeded(name, address) {
      const subject = subjectOf(name);
      const source = sourceOf(address);
      const now = clock.now();
      const { mine } = await rows(subject, source);
      // Written when there is something to forget, and once an hour to stay known.
      if (mine && mine.failures === 0 && now - (mine.succeeded_at ?? 0) < 3_600_000) return;
      const values = { failures: 0, window_at: now, locked_until: 0, succeeded_at: now };
      await db.insertInto("uaa_attempts").values({ subject, source, ...values }).onConflict((conflict) => conflict.columns(["subject", "source"]).doUpdateSet(values)).execute();
    },
    async unlock(name) {
      await db.updateTable("uaa_attempts").set({ failures: 0, locked_until: 0 }).where("subject", "=", subjectOf(name)).execute();
    },
    async prune() {
      const now = clock.now();
      await db.deleteFrom("uaa_attempts").where("window_at", "<", now - windowMs).where("locked_until", "<", now)
        .where((eb) => eb.or([eb("succeeded_at", "is", null), eb("succeeded_at", "<", now - knownMs)])).execute();
    },
  };
}

/** Where somebody comes from. One home has a whole /64 of IPv6, so its lower half says nothing. */
export function sourceOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (!isIPv6(plain)) return plain.slice(0, 64);
  const [head = "", tail] = plain.toLowerCase().split("::");
  const left = head.split(":").filter((part) => part !== "");
  const right = (tail ?? "").split(":").filter((part) => part !== "");
  const all = tail === undefined ? left : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right];
  return `${all.slice(0, 4).map((part) => part.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}
