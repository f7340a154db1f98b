import { BusError } from "../errors.ts";
import { type BucketCarrier, createBackoff, holdBucket, pause } from "../kv/open.ts";
import type { Bucket, Entry } from "../kv/port.ts";
import { type Clock, systemClock } from "../ports.ts";
import { keptMs, keysOf, type Member, presenceBucket, readMember } from "./member.ts";

export type PresenceEvent =
  | { readonly type: "joined"; readonly member: Member }
  /** It tells something else of itself. That it is still there is no event. */
  | { readonly type: "changed"; readonly member: Member; readonly before: Member }
  /** `left`: it said so; `expired`: it fell silent. */
  | { readonly type: "left"; readonly member: Member; readonly reason: "left" | "expired" }
  /** Everybody who was there has been told; what follows is new. */
  | { readonly type: "current" };

export interface RegistryOptions {
  /** Deadline of `list` in ms. Default 5 000. */
  timeoutMs?: number;
  /** Copies of the bucket in a cluster. Default: as it is, 1 where it is made. */
  replicas?: number;
  clock?: Clock;
}

export interface PresenceQuery {
  /** Only components of this type. */
  type?: string;
  signal?: AbortSignal;
}

/** Who is there. Disposing it ends what it watches. */
export interface Registry extends AsyncDisposable {
  /** By type and index. @throws BusError `BUS_TIMEOUT`, `BUS_DISCONNECTED`, `BUS_UNSUPPORTED` */
  list(query?: PresenceQuery): Promise<Member[]>;
  /** Goes on while the bus is away, and tells who is gone when it is back. Ends quietly with its signal and the registry. */
  watch(query?: PresenceQuery): AsyncGenerator<PresenceEvent, void, undefined>;
}

/** The members of a bus, as written by `join`. */
export function registry(source: Bucket | BucketCarrier, { timeoutMs = 5_000, replicas, clock = systemClock }: RegistryOptions = {}): Registry {
  const buckets = holdBucket(source, presenceBucket, { ttlMs: keptMs, ...(replicas !== undefined && { replicas }) });
  const stop = new AbortController();

  async function list({ type, signal }: PresenceQuery = {}): Promise<Member[]> {
    const ending = new AbortController();
    const timer = clock.after(timeoutMs, () => ending.abort());
    const members = new Map<string, Member>();
    try {
      const bucket = await buckets.open();
      for await (const event of bucket.watch({ key: keysOf(type), signal: AbortSignal.any([stop.signal, ending.signal, ...(signal ? [signal] : [])]) })) {
        if (event.type === "current") return [...members.values()].sort((a, b) => a.type.localeCompare(b.type) || a.index - b.index || a.since - b.since);
        const member = event.entry.operation === "put" ? readMember(event.entry) : undefined;
        if (member) members.set(event.entry.key, member);
        else members.delete(event.entry.key);
      }
    } catch (error) {
      if (isGone(error)) await buckets.forget();
      throw error;
    } finally {
      timer[Symbol.dispose]();
    }
    signal?.throwIfAborted();
    if (ending.signal.aborted) throw new BusError("BUS_TIMEOUT", `who is there was not told within ${timeoutMs} ms`, { retryable: true });
    throw new BusError("BUS_CLOSED", "this registry is closed");
  }

  async function* watch({ type, signal }: PresenceQuery = {}): AsyncGenerator<PresenceEvent, void, undefined> {
    const ending = signal ? AbortSignal.any([stop.signal, signal]) : stop.signal;
    const known = new Map<string, { text: string; member: Member }>();
    const backoff = createBackoff({ minMs: 100, maxMs: 5_000 });
    const tell = (entry: Entry): PresenceEvent | undefined => {
      const before = known.get(entry.key);
      const member = entry.operation === "put" ? readMember(entry) : undefined;
      if (!member) {
        known.delete(entry.key);
        return before && { type: "left", member: before.member, reason: entry.operation === "expire" ? "expired" : "left" };
      }
      const text = new TextDecoder().decode(entry.value);
      known.set(entry.key, { text, member });
      if (!before) return { type: "joined", member };
      return before.text === text ? undefined : { type: "changed", member, before: before.member };
    };
    for (let told = false; !ending.aborted;) {
      try {
        const bucket = await buckets.open();
        const seen = new Set<string>();
        let current = false;
        for await (const event of bucket.watch({ key: keysOf(type), signal: ending })) {
          if (event.type === "entry") {
            if (!current) seen.add(event.entry.key);
            const change = tell(event.entry);
            if (change) yield change;
            continue;
          }
          current = true;
          backoff.reset();
          for (const [key, { member }] of [...known]) {
            if (seen.has(key)) continue;
            known.delete(key);
            yield { type: "left", member, reason: "expired" };
          }
          if (!told) yield { type: "current" };
          told = true;
        }
        return;
      } catch (error) {
        if (ending.aborted) return;
        if (!(isGone(error) && "transport" in source) && !(error instanceof BusError && error.retryable)) throw error;
        await buckets.forget().catch(() => undefined);
      }
      await pause(clock, backoff.ms, ending);
    }
  }

  return {
    list,
    watch,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await buckets.forget();
    },
  };
}

const isGone = (error: unknown): boolean => error instanceof BusError && error.code === "BUS_NOT_FOUND";
