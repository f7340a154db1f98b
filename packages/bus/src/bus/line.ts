import type { AnyMessage } from "../schema.ts";
import { type Kept, type Limits, sizeOf } from "./kept.ts";

/** What waits to leave, in order of time, within bounds: those of each `buffer`, those of everything. */
export interface Line {
  readonly size: number;
  /** Puts it at the end. What has to go for it is given up, the oldest first. */
  add(item: Kept): void;
  first(): { readonly key: string; readonly item: Kept } | undefined;
  has(key: string, item: Kept): boolean;
  remove(key: string): void;
  /** Takes everything out. */
  empty(): Kept[];
}

export function createLine({ maxItems, maxBytes }: Limits, full: (item: Kept) => void): Line {
  const line = new Map<string, Kept>();
  // For each kind that is buffered the keys of its messages in the line.
  const buffered = new Map<AnyMessage, Set<string>>();
  let bytes = 0;
  let n = 0;
  const remove = (key: string): Kept | undefined => {
    const item = line.get(key);
    if (!item) return undefined;
    line.delete(key);
    bytes -= sizeOf(item);
    buffered.get(item.message)?.delete(key);
    return item;
  };
  const giveUp = (key: string): void => {
    const item = remove(key);
    if (item) full(item);
  };
  const put = (key: string, item: Kept): void => {
    remove(key);
    line.set(key, item);
    bytes += sizeOf(item);
    while (line.size > maxItems || bytes > maxBytes) giveUp(line.keys().next().value as string);
  };
  return {
    get size() {
      return line.size;
    },
    add(item) {
      if (item.latestKey !== undefined) return put(item.latestKey, item);
      const policy = item.message.onDisconnect;
      const key = `#${n++}`;
      const keys = buffered.get(item.message) ?? new Set<string>();
      buffered.set(item.message, keys.add(key));
      put(key, item);
      while (policy.kind === "buffer" && keys.size > policy.max) giveUp(keys.values().next().value as string);
    },
    first() {
      for (const [key, item] of line) return { key, item };
      return undefined;
    },
    has: (key, item) => line.get(key) === item,
    remove: (key) => void remove(key),
    empty() {
      const all = [...line.values()];
      line.clear();
      buffered.clear();
      bytes = 0;
      return all;
    },
  };
}
