import assert from "node:assert/strict";
import type { Bucket, BucketOptions, Entry, WatchEvent } from "./port.ts";

/** Whatever opens buckets: a `Transport`, or a stand-in with this one method. */
export interface BucketSource extends AsyncDisposable {
  openBucket?(name: string, options?: BucketOptions): Promise<Bucket>;
}

/** Two connections to the same carrier; the case disposes them. */
export type MakeBucketSources = () => Promise<readonly [BucketSource, BucketSource]>;

export const text = (entry: Entry | undefined): string | undefined => entry && new TextDecoder().decode(entry.value);

let count = 0;
export const unused = (): string => `conformance-${process.pid.toString(36)}-${Date.now().toString(36)}-${count++}`;

/** Opens one bucket on both connections. */
export async function within(make: MakeBucketSources, options: BucketOptions, use: (a: Bucket, b: Bucket, sources: readonly [BucketSource, BucketSource]) => Promise<void>): Promise<void> {
  const sources = await make();
  try {
    const name = unused();
    const [a, b] = [await opened(sources[0], name, options), await opened(sources[1], name, options)];
    await use(a, b, sources);
    await a.destroy().catch(() => undefined);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  } finally {
    for (const source of sources) await source[Symbol.asyncDispose]();
  }
}

export const opened = (source: BucketSource, name: string, options?: BucketOptions): Promise<Bucket> => {
  assert.ok(source.openBucket, "this carrier has no buckets");
  return source.openBucket(name, options);
};

const shown = (event: WatchEvent): string => (event.type === "current" ? "--" : `${event.entry.operation} ${event.entry.key}=${text(event.entry)}`);

/** Reads a watch in the background and waits until it showed enough. */
export function reader(watch: AsyncIterable<WatchEvent> & AsyncDisposable) {
  const events: WatchEvent[] = [];
  let failure: unknown;
  const done = (async () => {
    for await (const event of watch) events.push(event);
  })().catch((error: unknown) => void (failure = error));
  return {
    events,
    done,
    entries: () => events.flatMap((event) => (event.type === "entry" ? [event.entry] : [])),
    get failure() {
      return failure;
    },
    async shows(expected: readonly string[], ms = 5_000): Promise<void> {
      const until = Date.now() + ms;
      while (events.length < expected.length && Date.now() < until) await pause(5);
      assert.deepEqual(events.map(shown), expected);
    },
  };
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
export async function eventually(check: () => Promise<boolean> | boolean, what: string, ms = 5_000): Promise<void> {
  for (const until = Date.now() + ms; !(await check()); await pause(10)) if (Date.now() > until) assert.fail(what);
}
