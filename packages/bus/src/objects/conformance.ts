import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ObjectStore, ObjectStoreOptions } from "./port.ts";

/** A carrier of object stores under test. */
export interface ObjectsUnderTest {
  /** Each call of a case with the same name opens the same store. */
  open(name: string, options?: ObjectStoreOptions): Promise<ObjectStore>;
  /** How many chunks the store really keeps. */
  countChunks(name: string): Promise<number>;
  /** Changes a byte in the last chunk of the only object in the store, behind its back. */
  tamper(name: string): Promise<void>;
}

let stores = 0;
const storeName = (): string => `case-${process.pid}-${Date.now().toString(36)}-${stores++}`;

/** Bytes that differ from place to place. */
const bytesOf = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 17 + (at >> 8)) & 255);

async function collect(data: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of data) parts.push(part);
  return Buffer.concat(parts);
}

const read = async (store: ObjectStore, name: string): Promise<Buffer | undefined> => {
  const found = await store.get(name);
  return found && collect(found.data);
};

async function eventually(check: () => Promise<boolean>, what: string): Promise<void> {
  for (const until = Date.now() + 10_000; ; await new Promise((done) => setTimeout(done, 20))) {
    if (await check()) return;
    if (Date.now() > until) assert.fail(what);
  }
}

/** What every object store keeps to; run it with a test runner of your choice. */
export const objectCases: Readonly<Record<string, (make: () => Promise<ObjectsUnderTest>) => Promise<void>>> = {
  "51: what is put in pieces of any size comes back byte for byte, in chunks": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 1_000 });
    const bytes = bytesOf(10_500);
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 3) % 1_777) yield await Promise.resolve(bytes.subarray(at, at + size));
    }
    const info = await store.put("droplets/a b.tgz", pieces());
    assert.equal(info.sizeBytes, 10_500);
    assert.equal(info.chunks, 11);
    const digest = createHash("sha256").update(bytes).digest("base64").replaceAll("+", "-").replaceAll("/", "_");
    assert.equal(info.digest, `SHA-256=${digest}`);
    assert.ok(Math.abs(info.modifiedMs - Date.now()) < 3_600_000);
    assert.equal(await under.countChunks(store.name), 11);
    const found = await store.get("droplets/a b.tgz");
    assert.deepEqual(found?.info, info);
    assert.ok((await collect(found.data)).equals(bytes));
    assert.deepEqual(await store.info("droplets/a b.tgz"), info);
  },

  "51: one that is empty, one of exactly a chunk, one of exactly two": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 512 });
    for (const [length, chunks] of [[0, 0], [512, 1], [1_024, 2]] as const) {
      const info = await store.put("it", bytesOf(length));
      assert.deepEqual([info.sizeBytes, info.chunks], [length, chunks]);
      assert.ok((await read(store, "it"))?.equals(bytesOf(length)));
      assert.equal(await under.countChunks(store.name), chunks);
    }
  },

  "51: the same name opens the same store; what was there stays": async (make) => {
    const under = await make();
    const name = storeName();
    await using one = await under.open(name);
    await one.put("x", bytesOf(3));
    await using other = await under.open(name, { chunkBytes: 7 });
    assert.ok((await read(other, "x"))?.equals(bytesOf(3)));
  },

  "51: there is none: undefined, and deleting is quiet": async (make) => {
    const under = await make();
    await using store = await under.open(storeName());
    assert.equal(await store.get("nothing"), undefined);
    assert.equal(await store.info("nothing"), undefined);
    await store.delete("nothing");
    assert.deepEqual(await store.list(), []);
  },

  "51: delete takes the chunks too, and the name may be used again": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await store.put("a", bytesOf(1_000));
    await store.put("b", bytesOf(200));
    assert.deepEqual((await store.list()).map(({ name }) => name), ["a", "b"]);
    await store.delete("a");
    assert.equal(await store.get("a"), undefined);
    assert.deepEqual((await store.list()).map(({ name }) => name), ["b"]);
    assert.equal(await under.countChunks(store.name), 2);
    await store.put("a", bytesOf(50, 2));
    assert.ok((await read(store, "a"))?.equals(bytesOf(50, 2)));
  },

  "51: while an object is replaced a reader gets the old one or the new one, whole": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 256 });
    const versions = [1, 2, 3, 4, 5, 6].map((seed) => bytesOf(2_000 + seed, seed));
    await store.put("it", versions[0] as Uint8Array);
    let over = false;
    let whole = 0;
    const readers = Array.from({ length: 3 }, async () => {
      while (!over) {
        try {
          const got = await read(store, "it");
          assert.ok(got && versions.some((version) => got.equals(version)), "neither the old nor the new");
          whole++;
        } catch (error) {
          // Chunks may go away under a slow reader: that is said, and reading again helps.
          assert.equal((error as { retryable?: boolean }).retryable, true, String(error));
        }
      }
    });
    for (const version of versions.slice(1)) await store.put("it", version);
    over = true;
    await Promise.all(readers);
    assert.ok((await read(store, "it"))?.equals(versions[5] as Uint8Array));
    assert.ok(whole > 0);
    assert.equal(await under.countChunks(store.name), 8);
  },

  "51: the old one is there until the new one is put to the end": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await store.put("it", bytesOf(300));
    let go = (): void => undefined;
    const gate = new Promise<void>((done) => (go = done));
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield bytesOf(500, 2);
      await gate;
      yield bytesOf(500, 3);
    }
    const put = store.put("it", slow());
    await eventually(async () => (await under.countChunks(store.name)) > 3, "the chunks of the new one come");
    assert.ok((await read(store, "it"))?.equals(bytesOf(300)));
    go();
    await put;
    assert.equal((await read(store, "it"))?.length, 1_000);
    assert.equal(await under.countChunks(store.name), 10);
  },

  "51: two that put the same name leave one whole object and no other chunks": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await Promise.all([1, 2, 3, 4].map((seed) => store.put("it", bytesOf(950, seed))));
    const got = await read(store, "it");
    assert.ok([1, 2, 3, 4].some((seed) => got?.equals(bytesOf(950, seed))));
    assert.equal(await under.countChunks(store.name), 10);
  },

  "51: a put whose source throws leaves what was there and no chunks": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await store.put("it", bytesOf(100));
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytesOf(1_000, 2));
      throw new Error("the disk is gone");
    }
    await assert.rejects(store.put("it", broken()), /the disk is gone/);
    await assert.rejects(store.put("new", broken()), /the disk is gone/);
    assert.ok((await read(store, "it"))?.equals(bytesOf(100)));
    assert.equal(await store.info("new"), undefined);
    assert.equal(await under.countChunks(store.name), 1);
    await assert.rejects(store.put("it", ["text"] as unknown as AsyncIterable<Uint8Array>), (error: Error) => error instanceof TypeError || (error as { code?: string }).code === "BUS_INVALID_PAYLOAD");
  },

  "51: a put that is aborted ends at once, tells its source, and leaves no chunks": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    const abort = new AbortController();
    let returned = false;
    let first = true;
    const source: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          if (!first) return new Promise(() => undefined);
          first = false;
          return Promise.resolve({ done: false, value: bytesOf(1_000) });
        },
        return: () => {
          returned = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    const put = store.put("it", source, { signal: abort.signal });
    put.catch(() => undefined);
    await eventually(async () => (await under.countChunks(store.name)) === 10, "the first chunks come");
    abort.abort(new Error("enough"));
    await assert.rejects(put, /enough/);
    assert.equal(returned, true);
    assert.equal(await store.info("it"), undefined);
    assert.equal(await under.countChunks(store.name), 0);
    await assert.rejects(store.put("it", bytesOf(1), { signal: AbortSignal.abort(new Error("before")) }), /before/);
    await assert.rejects(store.get("it", { signal: AbortSignal.abort(new Error("before")) }), /before/);
  },

  "51: a reader may leave in the middle, or be aborted there": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await store.put("it", bytesOf(1_000));
    const found = await store.get("it");
    for await (const part of found?.data ?? []) {
      assert.equal(part.length, 100);
      break;
    }
    const abort = new AbortController();
    const other = await store.get("it", { signal: abort.signal });
    await assert.rejects(async () => {
      for await (const part of other?.data ?? []) if (part.length > 0) abort.abort(new Error("enough"));
    }, /enough/);
  },

  "51: the source is asked for more only when what it gave was stored": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 1_000 });
    let given = 0;
    const ahead: Promise<number>[] = [];
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; given < 20; given++) {
        const asked = given;
        ahead.push(under.countChunks(store.name).then((kept) => asked - kept));
        await ahead.at(-1);
        yield bytesOf(1_000, given);
      }
    }
    await store.put("it", source());
    assert.ok(Math.max(...(await Promise.all(ahead))) <= 1);
  },

  "51: a chunk that was changed is found out: BUS_DIGEST_MISMATCH": async (make) => {
    const under = await make();
    await using store = await under.open(storeName(), { chunkBytes: 100 });
    await store.put("it", bytesOf(350));
    await under.tamper(store.name);
    const found = await store.get("it");
    assert.ok(found);
    await assert.rejects(collect(found.data), { name: "BusError", code: "BUS_DIGEST_MISMATCH", retryable: false });
  },

  "51: names that are none are refused": async (make) => {
    const under = await make();
    for (const name of ["", "a.b", "a b", "*", "x".repeat(200)]) await assert.rejects(under.open(name), { code: "BUS_INVALID_KEY" }, name);
    await using store = await under.open(storeName());
    for (const name of ["", "a\nb", "x".repeat(2_000)]) {
      await assert.rejects(store.put(name, bytesOf(1)), { code: "BUS_INVALID_KEY" });
      await assert.rejects(store.get(name), { code: "BUS_INVALID_KEY" });
      await assert.rejects(store.info(name), { code: "BUS_INVALID_KEY" });
      await assert.rejects(store.delete(name), { code: "BUS_INVALID_KEY" });
    }
    for (const name of ["*", ">", "a.b.c", "ünïcode/☃", "a".repeat(1_000)]) {
      await store.put(name, bytesOf(5));
      assert.ok((await read(store, name))?.equals(bytesOf(5)));
    }
  },

  "51: closed and removed stores say so": async (make) => {
    const under = await make();
    const name = storeName();
    const store = await under.open(name);
    await store.put("x", bytesOf(1));
    await using other = await under.open(name);
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await assert.rejects(store.info("x"), { code: "BUS_CLOSED" });
    await other.destroy();
    await using again = await under.open(name);
    assert.deepEqual(await again.list(), []);
  },
};
