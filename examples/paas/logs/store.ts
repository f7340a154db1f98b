import { bytesOf, cutTo, typeOf, type EnvelopeType, type IncomingEnvelope, type Stored, type Tags } from "./envelope.ts";
import { systemClock, type Clock } from "./ports.ts";
import { Ring } from "./ring.ts";

export interface LogStoreOptions {
  /** Kept per source; its oldest envelopes leave beyond it. Default 2 MiB. */
  maxBytesPerSource?: number;
  /** Kept in all; the source that takes most gives first. Default 32 MiB. */
  maxBytes?: number;
  /** Sources; the one silent for longest leaves beyond it. Default 10 000. */
  maxSources?: number;
  /** Longer lines are cut. Default 65 536 bytes. */
  maxPayloadBytes?: number;
  clock?: Clock;
}

export interface ReadOptions {
  /** Nanoseconds since the epoch, inclusive. Default: from the beginning. */
  start?: bigint;
  /** Nanoseconds since the epoch, exclusive. Default: to the end. */
  end?: bigint;
  /** Default 100. */
  limit?: number;
  /** Newest first. Default false. */
  descending?: boolean;
  types?: ReadonlySet<EnvelopeType>;
}

export interface SourceMeta {
  count: number;
  expired: number;
  oldest: bigint;
  newest: bigint;
}

export type Listen = (envelope: Stored) => void;

/** The last lines and readings of every source, in memory, within bounds. */
export interface LogStore {
  /**
   * Takes envelopes in the order of their arrival. Timestamps of one source come out strictly rising: a reader who
   * goes on after the last one it saw misses nothing, whatever the senders' clocks say, and nothing lies in the future.
   * @returns what was really kept
   */
  append(envelopes: readonly IncomingEnvelope[]): [sourceId: string, envelope: Stored][];
  /** Puts back what was kept before a restart; what is not newer than the source's last envelope is a repetition. */
  restore(sourceId: string, envelope: Stored): void;
  read(sourceId: string, options?: ReadOptions): Stored[];
  /** Calls for each new envelope of a source, until disposed. */
  listen(sourceId: string, listen: Listen): Disposable;
  meta(): IterableIterator<[sourceId: string, meta: SourceMeta]>;
  /** Everything, source by source. */
  all(): IterableIterator<[sourceId: string, envelopes: Stored[]]>;
  readonly bytes: number;
  /** Envelopes refused because they made no sense. */
  readonly refused: number;
}

const maxTags = 24;
const maxTagLength = 512;
/** Different sets of tags that are shared; they are few: one per instance of a process type. */
const maxShared = 20_000;
const forever = 1n << 64n;

export function createLogStore(options: LogStoreOptions = {}): LogStore {
  const { maxBytesPerSource = 2 * 1024 ** 2, maxBytes = 32 * 1024 ** 2, maxSources = 10_000, maxPayloadBytes = 65_536, clock = systemClock } = options;
  // In order of the last word, so that the first is the one silent for longest.
  const sources = new Map<string, Ring>();
  const listeners = new Map<string, Set<Listen>>();
  const shared = new Map<string, Tags>();
  let bytes = 0;
  let refused = 0;

  function share(tags: Tags): Tags {
    const text = JSON.stringify(tags);
    const known = shared.get(text);
    if (known) return known;
    if (shared.size >= maxShared) shared.clear();
    const names = Object.keys(tags).slice(0, maxTags);
    const bounded = Object.fromEntries(names.map((name) => [name.slice(0, maxTagLength), String(tags[name]).slice(0, maxTagLength)]));
    if (text.length <= maxTags * maxTagLength) shared.set(text, bounded);
    return bounded;
  }

  function ringOf(sourceId: string): Ring {
    const ring = sources.get(sourceId) ?? new Ring();
    sources.delete(sourceId);
    sources.set(sourceId, ring);
    for (const [silent, { bytes: held }] of sources) {
      if (sources.size <= maxSources) break;
      sources.delete(silent);
      bytes -= held;
    }
    return ring;
  }

  function keep(ring: Ring, envelope: Stored): void {
    ring.push(envelope);
    bytes += envelope.bytes;
    while (ring.bytes > maxBytesPerSource && ring.count > 1) bytes -= ring.shift();
    if (bytes > maxBytes) makeRoom();
  }

  /** Takes a tenth at once: looking for the largest source costs, so it must be rare. */
  function makeRoom(): void {
    while (bytes > maxBytes * 0.9) {
      const largest = [...sources.values()].reduce((a, b) => (b.bytes > a.bytes ? b : a));
      const enough = largest.bytes * 0.75;
      while (largest.count > 0 && largest.bytes > enough) bytes -= largest.shift();
    }
  }

  return {
    append(envelopes) {
      const kept: [string, Stored][] = [];
      // A clock that counts milliseconds stands for all nanoseconds of its millisecond.
      const latest = BigInt(Math.trunc(clock.now())) * 1_000_000n + 999_999n;
      for (const { source_id, instance_id, timestamp, tags, type, payload, gauge } of envelopes) {
        if (source_id === "" || source_id.length > 200 || !/^\d{1,20}$/.test(timestamp) || (payload === undefined) === (gauge === undefined)) {
          refused += 1;
          continue;
        }
        const ring = ringOf(source_id);
        const last = ring.newest?.timestamp ?? -1n;
        let at = BigInt(timestamp);
        if (at > latest) at = latest;
        if (at <= last) at = last + 1n;
        const instanceId = instance_id.slice(0, 100);
        const text = payload === undefined ? undefined : cutTo(payload, maxPayloadBytes);
        const envelope: Stored = { timestamp: at, instanceId, tags: share(tags), bytes: bytesOf(instanceId, text, gauge) };
        if (text !== undefined) Object.assign(envelope, { type: type === "ERR" ? "ERR" : "OUT", payload: text });
        else if (gauge) envelope.gauge = gauge;
        keep(ring, envelope);
        kept.push([source_id, envelope]);
        for (const listen of listeners.get(source_id) ?? []) listen(envelope);
      }
      return kept;
    },
    restore(sourceId, envelope) {
      const ring = ringOf(sourceId);
      if (envelope.timestamp > (ring.newest?.timestamp ?? -1n)) keep(ring, { ...envelope, tags: share(envelope.tags) });
    },
    read(sourceId, { start = -forever, end = forever, limit = 100, descending = false, types } = {}) {
      return sources.get(sourceId)?.select({ start, end, limit, descending, want: (item) => !types || types.has(typeOf(item)) }) ?? [];
    },
    listen(sourceId, listen) {
      const set = listeners.get(sourceId) ?? new Set();
      listeners.set(sourceId, set.add(listen));
      return {
        [Symbol.dispose]() {
          set.delete(listen);
          if (set.size === 0 && listeners.get(sourceId) === set) listeners.delete(sourceId);
        },
      };
    },
    *meta() {
      for (const [sourceId, { count, expired, oldest, newest }] of sources)
        if (oldest && newest) yield [sourceId, { count, expired, oldest: oldest.timestamp, newest: newest.timestamp }];
    },
    *all() {
      for (const sourceId of [...sources.keys()]) {
        const ring = sources.get(sourceId);
        if (ring) yield [sourceId, ring.all()];
      }
    },
    get bytes() {
      return bytes;
    },
    get refused() {
      return refused;
    },
  };
}
