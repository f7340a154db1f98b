import type { Body } from "@opencf/bus";
import type { componentAnnounce } from "@opencf/bus/messages/component";
import type { Scrape } from "./scrape.ts";

/** What a component tells of itself on the bus. */
export type Identity = Body<typeof componentAnnounce>;

/** `up`, `unhealthy`: answers, and says whether it can work. `failing`: is on the bus but does not answer. `gone`: neither. */
export type State = "up" | "unhealthy" | "failing" | "gone";

export interface Entry {
  readonly identity: Identity;
  /** Undefined until it has been read for the first time. */
  readonly state: State | undefined;
  /** Since when it is in this state. */
  readonly sinceMs: number;
  /** When it last said anything, on the bus or over HTTP. */
  readonly seenMs: number;
  /** Why it is not simply up. */
  readonly reason: string | undefined;
  /** What it said last; kept while it is failing, so that its row does not go blank. */
  readonly last: Extract<Scrape, { ok: true }> | undefined;
  readonly durationMs: number | undefined;
}

export interface CensusOptions {
  maxComponents: number;
  keepMs: number;
}

/** Rounds of discovery without an answer until a component counts as silent: one answer may get lost. */
const silentAfterRounds = 2;

/** State by what the bus and the status page say. A component that still answers over HTTP is there, whatever the bus says. */
const states = {
  "heard answers": "up", "heard fails": "failing",
  "silent answers": "up", "silent fails": "gone",
} as const;

interface Mutable { identity: Identity; state: State | undefined; sinceMs: number; seenMs: number; reason: string | undefined; last: Extract<Scrape, { ok: true }> | undefined; durationMs: number | undefined; missedRounds: number; replaced: boolean }

/** Who is there, who was, and since when. */
export interface Census {
  /** Components that should be read in this round. */
  targets(): Identity[];
  heard(identity: Identity, nowMs: number): void;
  /** A whole round of discovery went by with the bus there; without the bus silence says nothing, so then this is not called. */
  roundEnded(answered: ReadonlySet<string>): void;
  scraped(uuid: string, result: Scrape, nowMs: number): void;
  /** Forgets who has been gone for longer than `keepMs`. */
  forget(nowMs: number): void;
  entries(): Entry[];
  /** Components not taken in because there were too many. */
  readonly refused: number;
}

export function createCensus({ maxComponents, keepMs }: CensusOptions): Census {
  const known = new Map<string, Mutable>();
  const refusedUuids = new Set<string>();

  const become = (entry: Mutable, state: State, reason: string | undefined, nowMs: number): void => {
    if (entry.state !== state) entry.sinceMs = nowMs;
    entry.state = state;
    entry.reason = reason;
  };
  const makeRoom = (): boolean => {
    if (known.size < maxComponents) return true;
    const oldest = [...known].filter(([, { state }]) => state === "gone").sort(([, a], [, b]) => a.sinceMs - b.sinceMs)[0];
    return oldest !== undefined && known.delete(oldest[0]);
  };

  return {
    targets: () => [...known.values()].filter(({ state }) => state !== "gone").map(({ identity }) => identity),
    heard(identity, nowMs) {
      const entry = known.get(identity.uuid);
      if (entry) {
        if (entry.replaced) return;
        Object.assign(entry, { identity, seenMs: nowMs, missedRounds: 0 });
        if (entry.state === "gone") become(entry, "failing", "is back on the bus", nowMs);
        return;
      }
      if (!makeRoom()) {
        if (refusedUuids.size < 10_000) refusedUuids.add(identity.uuid);
        return;
      }
      // Whoever had this address before has ended, whether we have noticed or not.
      for (const other of known.values())
        if (other.identity.host === identity.host && other.state !== "gone") {
          other.replaced = true;
          become(other, "gone", "was started anew", nowMs);
        }
      known.set(identity.uuid, { identity, state: undefined, sinceMs: nowMs, seenMs: nowMs, reason: undefined, last: undefined, durationMs: undefined, missedRounds: 0, replaced: false });
    },
    roundEnded(answered) {
      for (const [uuid, entry] of known) if (!answered.has(uuid)) entry.missedRounds++;
    },
    scraped(uuid, result, nowMs) {
      const entry = known.get(uuid);
      if (!entry || entry.replaced) return;
      entry.durationMs = result.durationMs;
      const state = states[`${entry.missedRounds >= silentAfterRounds ? "silent" : "heard"} ${result.ok ? "answers" : "fails"}`];
      if (!result.ok) return become(entry, state, result.reason, nowMs);
      entry.last = result;
      entry.seenMs = nowMs;
      become(entry, result.healthy ? state : "unhealthy", result.note, nowMs);
    },
    forget(nowMs) {
      for (const [uuid, { state, sinceMs }] of known) if (state === "gone" && nowMs - sinceMs > keepMs) known.delete(uuid);
    },
    entries: () => [...known.values()].sort((a, b) => compare(a.identity, b.identity)),
    get refused() {
      return refusedUuids.size;
    },
  };
}

const compare = (a: Identity, b: Identity): number => a.type.localeCompare(b.type, "en") || a.index - b.index || (a.uuid < b.uuid ? -1 : 1);
