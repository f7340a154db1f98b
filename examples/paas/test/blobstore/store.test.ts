import { createHash } from "node:crypto";
import { readdir, readFile, writeFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openFolderBlobstore, type FolderBlobstoreOptions } from "../../blobstore/index.ts";
import { temporaryFolder } from "../support/bundle.ts";

const hash = (algorithm: string, data: string | Uint8Array) => createHash(algorithm).update(data).digest("hex");

async function opened(options: FolderBlobstoreOptions = {}) {
  const folder = await temporaryFolder();
  const open = () => openFolderBlobstore(folder.path, { durable: false, ...options });
  return { folder, path: folder.path, store: await open(), reopen: open, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function contents(path: string): Promise<string[]> {
  const shards = await readdir(join(path, "data"));
  return (await Promise.all(shards.map((shard) => readdir(join(path, "data", shard))))).flat().sort();
}
const read = async (store: Awaited<ReturnType<typeof opened>>["store"], key: string) => (await buffer((await store.get(key)).stream)).toString();

describe("folder blobstore", () => {
  test("gives back what was put, with both digests", async () => {
    await using at = await opened({ durable: true });
    const info = await at.store.put("packages/a", Readable.from([Buffer.from("hel"), Buffer.from("lo")]));
    expect(info).toEqual({ key: "packages/a", sha1: hash("sha1", "hello"), sha256: hash("sha256", "hello"), sizeBytes: 5 });
    expect(await read(at.store, "packages/a")).toBe("hello");
    const again = await at.reopen();
    expect(again.head("packages/a")).toEqual(info);
    expect(await read(again, "packages/a")).toBe("hello");
  });

  test("keeps equal content once, until the last key is gone", async () => {
    await using at = await opened();
    await at.store.put("packages/a", Buffer.from("same"));
    await at.store.put("droplets/b", Buffer.from("same"));
    await at.store.copy("packages/a", "packages/c");
    expect(await contents(at.path)).toEqual([hash("sha256", "same")]);
    expect(await at.store.delete("packages/a")).toBe(true);
    expect(await at.store.delete("packages/a")).toBe(false);
    await at.store.put("droplets/b", Buffer.from("other"));
    expect(await read(at.store, "packages/c")).toBe("same");
    await at.store.delete("packages/c");
    expect(await contents(at.path)).toEqual([hash("sha256", "other")]);
  });

  test("a replaced or deleted blob stays readable for whoever has it open", async () => {
    await using at = await opened();
    await at.store.put("droplets/a", Buffer.alloc(1_000_000, 1));
    const { stream } = await at.store.get("droplets/a");
    await at.store.delete("droplets/a");
    expect((await buffer(stream)).length).toBe(1_000_000);
    await expect(at.store.get("droplets/a")).rejects.toMatchObject({ code: "BLOB_NOT_FOUND" });
  });

  test.each(["", "/", "a//b", "../x", "a/../b", "a/.hidden", "a\\b", "a b", "a/b/", "é", "x".repeat(201), "a/b/c/d/e/f/g/h/i", "a%2fb", "a\0b"])(
    "refuses the key %j",
    async (key) => {
      await using at = await opened();
      await expect(at.store.put(key, Buffer.from("x"))).rejects.toMatchObject({ code: "BLOB_KEY_INVALID" });
      expect(() => at.store.head(key)).toThrow(expect.objectContaining({ code: "BLOB_KEY_INVALID" }));
    },
  );

  test("stops at the limit and leaves nothing behind", async () => {
    await using at = await opened({ maxBlobBytes: 10_000 });
    let pulled = 0;
    async function* endless() {
      for (;;) yield Buffer.alloc((pulled += 1) && 1_000);
    }
    await expect(at.store.put("packages/a", endless())).rejects.toMatchObject({ code: "BLOB_TOO_LARGE", retryable: false });
    await expect(at.store.put("packages/a", Buffer.alloc(6), { maxBytes: 5 })).rejects.toMatchObject({ code: "BLOB_TOO_LARGE" });
    expect(pulled).toBeLessThan(40);
    expect(await readdir(join(at.path, "tmp"))).toEqual([]);
    expect(await contents(at.path)).toEqual([]);
    expect(at.store.head("packages/a")).toBeUndefined();
  });

  test("a failing source or an abort changes nothing", async () => {
    await using at = await opened();
    await at.store.put("packages/a", Buffer.from("old"));
    async function* failing() {
      yield Buffer.from("new");
      throw new Error("torn");
    }
    await expect(at.store.put("packages/a", failing())).rejects.toMatchObject({ code: "BLOB_UNAVAILABLE" });
    const stuck = new Readable({ read() {} });
    stuck.push("part");
    await expect(at.store.put("packages/a", stuck, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: "TimeoutError" });
    expect(await read(at.store, "packages/a")).toBe("old");
    expect(await readdir(join(at.path, "tmp"))).toEqual([]);
  });

  test("opening sweeps leftovers, orphans, and names without content", async () => {
    await using at = await opened();
    await at.store.put("packages/a", Buffer.from("kept"));
    await at.store.put("packages/b", Buffer.from("lost"));
    await writeFile(join(at.path, "tmp", "half-written"), "x");
    const orphan = hash("sha256", "orphan");
    await mkdir(join(at.path, "data", orphan.slice(0, 2)), { recursive: true });
    await writeFile(join(at.path, "data", orphan.slice(0, 2), orphan), "orphan");
    await writeFile(join(at.path, "keys", "packages%2Ftorn"), '{"key":"packages/to');
    const lost = hash("sha256", "lost");
    await (await import("node:fs/promises")).rm(join(at.path, "data", lost.slice(0, 2), lost));
    const store = await at.reopen();
    expect(await contents(at.path)).toEqual([hash("sha256", "kept")]);
    expect(await readdir(join(at.path, "tmp"))).toEqual([]);
    expect(store.list("packages/")).toEqual(["packages/a"]);
  });

  test("deletes below a prefix only what is below it", async () => {
    await using at = await opened();
    for (const key of ["buildpack_cache/app/s1", "buildpack_cache/app/s2", "buildpack_cache/app2/s1"]) await at.store.put(key, Buffer.from(key));
    expect(await at.store.deleteAll("buildpack_cache/app/")).toBe(2);
    expect(at.store.list("buildpack_cache/")).toEqual(["buildpack_cache/app2/s1"]);
    await expect(at.store.deleteAll("buildpack_cache")).rejects.toMatchObject({ code: "BLOB_KEY_INVALID" });
  });

  test("whatever order puts, copies and deletes come in, memory and disk agree with a model", { timeout: 60_000 }, async () => {
    const key = fc.constantFrom("p/a", "p/b", "p/c");
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), key, value: fc.constantFrom("1", "2", "3") }),
      fc.record({ do: fc.constant("copy" as const), key, from: key }),
      fc.record({ do: fc.constant("delete" as const), key }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        await using at = await opened();
        const model = new Map<string, string>();
        for (const one of steps) {
          if (one.do === "put") {
            await at.store.put(one.key, Buffer.from(one.value));
            model.set(one.key, one.value);
          } else if (one.do === "copy") {
            const value = model.get(one.from);
            if (value === undefined) await expect(at.store.copy(one.from, one.key)).rejects.toMatchObject({ code: "BLOB_NOT_FOUND" });
            else {
              await at.store.copy(one.from, one.key);
              model.set(one.key, value);
            }
          } else expect(await at.store.delete(one.key)).toBe(model.delete(one.key));
        }
        const expected = [...new Set(model.values())].map((value) => hash("sha256", value)).sort();
        expect(await contents(at.path)).toEqual(expected);
        const again = await at.reopen();
        expect(again.list("")).toEqual([...model.keys()].sort());
        for (const [name, value] of model) expect(await read(again, name)).toBe(value);
        expect(await contents(at.path)).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });

  test("parallel puts, gets and deletes of the same content never lose it", async () => {
    await using at = await opened();
    await at.store.put("keep/it", Buffer.from("shared"));
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        await at.store.put(`p/${i % 7}`, Buffer.from(i % 3 ? "shared" : `own ${i}`));
        if (i % 2) await at.store.delete(`p/${i % 7}`);
        expect(await read(at.store, "keep/it")).toBe("shared");
      }),
    );
    for (const key of at.store.list("p/")) await at.store.delete(key);
    expect(await contents(at.path)).toEqual([hash("sha256", "shared")]);
  });
});

describe("resource pool", () => {
  test("knows content by SHA-1 and refuses a wrong one", async () => {
    await using at = await opened();
    const { pool } = at.store;
    const sha1 = hash("sha1", "jar");
    await pool.put(sha1, Buffer.from("jar"));
    await pool.put(sha1, Buffer.from("jar"));
    expect(pool.has([sha1, hash("sha1", "other")])).toEqual([{ sha1, sizeBytes: 3 }]);
    expect((await buffer((await pool.get(sha1)).stream)).toString()).toBe("jar");
    await expect(pool.put(hash("sha1", "other"), Buffer.from("jar"))).rejects.toMatchObject({ code: "BLOB_DIGEST_MISMATCH" });
    await expect(pool.get(hash("sha1", "other"))).rejects.toMatchObject({ code: "BLOB_NOT_FOUND" });
    await expect(pool.put("XYZ", Buffer.from("jar"))).rejects.toMatchObject({ code: "BLOB_KEY_INVALID" });
    expect((await at.reopen()).pool.has([sha1])).toEqual([{ sha1, sizeBytes: 3 }]);
  });

  test("drops the least recently used beyond its bound, and shares content with keys", async () => {
    await using at = await opened({ maxPoolBytes: 300 });
    const { pool } = at.store;
    const data = [1, 2, 3, 4].map((fill) => Buffer.alloc(100, fill));
    const sha1 = data.map((one) => hash("sha1", one));
    await at.store.put("packages/a", data[1] as Buffer);
    for (const i of [0, 1, 2]) await pool.put(sha1[i] as string, data[i] as Buffer);
    pool.has([sha1[0] as string]);
    await pool.put(sha1[3] as string, data[3] as Buffer);
    expect(pool.has(sha1).map((one) => one.sha1)).toEqual([sha1[0], sha1[2], sha1[3]]);
    expect(pool.bytes()).toBe(300);
    expect((await buffer((await at.store.get("packages/a")).stream)).equals(data[1] as Buffer)).toBe(true);
    await expect(pool.put(hash("sha1", Buffer.alloc(301)), Buffer.alloc(301))).rejects.toMatchObject({ code: "BLOB_TOO_LARGE" });
  });
});

test("every error code is explained", async () => {
  const { codes } = await import("../../blobstore/index.ts");
  const text = await readFile(new URL("../../../../docs/errors/paas-blobstore.md", import.meta.url), "utf8");
  for (const code of codes) expect(text).toContain(`| \`${code}\` |`);
});
