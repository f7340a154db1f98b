import { createHash } from "node:crypto";
import { readdir, readFile, utimes } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CachedDroplet, evictions, underPressure } from "../../src/droplet/eviction.ts";
import { openDropletStore } from "../../src/droplet/store.ts";
import { createDea, MiB } from "../../src/index.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { until } from "../fixtures/until.ts";

const now = 1_000_000_000;
const day = 86_400_000;
const droplet = (name: string, bytes: number, ageMs: number): CachedDroplet => ({ name, bytes, usedAt: now - ageMs });

describe("dea §6 droplets leave by rule", () => {
  test.each([
    ["there is room", [droplet("a", 10, 5), droplet("b", 10, 1)], []],
    ["nobody used it for a day", [droplet("a", 10, day + 1), droplet("b", 10, day)], ["a unused"]],
    ["too much: the least recently used go first", [droplet("a", 60, 5), droplet("b", 60, 9), droplet("c", 30, 1)], ["b space"]],
    ["what is too large alone", [droplet("a", 101, 5)], ["a space"]],
    ["what left for its age counts no more", [droplet("a", 60, day + 1), droplet("b", 60, 5)], ["a unused"]],
    ["of the same moment by name", [droplet("b", 60, 5), droplet("a", 60, 5)], ["a space"]],
  ] as [string, CachedDroplet[], string[]][])("%s", (_name, cached, leaving) => {
    expect(evictions(cached, { cacheBytes: 100, unusedMs: day }, now).map(({ name, why }) => `${name} ${why}`)).toEqual(leaving);
  });

  test("what stays fits, and nothing left that was used later than something that stayed", () => {
    const any = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 50 }), age: fc.integer({ min: 0, max: 2 * day }) }), { maxLength: 30 });
    fc.assert(fc.property(any, (list) => {
      const cached = list.map(({ bytes, age }, at) => droplet(String(at), bytes, age));
      const gone = new Set(evictions(cached, { cacheBytes: 100, unusedMs: day }, now).map(({ name }) => name));
      const left = cached.filter(({ name }) => !gone.has(name));
      expect(left.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(100);
      expect(Math.max(0, ...cached.filter(({ name }) => gone.has(name)).map(({ usedAt }) => usedAt))).toBeLessThanOrEqual(Math.min(now, ...left.map(({ usedAt }) => usedAt)));
    }));
  });

  test("under pressure the oldest first, and nothing that was used this minute", () => {
    expect(underPressure([droplet("a", 1, 70_000), droplet("b", 1, 59_000), droplet("c", 1, 80_000)], now).map(({ name }) => name)).toEqual(["c", "a"]);
  });
});

describe("dea §6 on disk", () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let server: Server;
  let requests = 0;
  let sha1: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    const bytes = await readFile(await writeDroplet(join(folder.path, "d.tgz"), { x: "" }, "exec sleep 1000"));
    sha1 = createHash("sha1").update(bytes).digest("hex");
    server = createServer((_request, response) => {
      requests += 1;
      setTimeout(() => response.end(bytes), 100);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(async () => {
    server.close();
    await folder[Symbol.asyncDispose]();
  });
  const source = () => ({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/d?signature=${Math.random()}`, sha1 });
  const never = new AbortController().signal;

  test("shared by digest: five starts are one download, a later executor needs none", async () => {
    requests = 0;
    const dropletCacheDir = join(folder.path, "shared");
    for (let turn = 0; turn < 2; turn++) {
      await using dea = await createDea({ dropletCacheDir, memoryBytes: 1024 * MiB });
      const all = await Promise.all(Array.from({ length: 5 }, () => dea.start({ droplet: source(), memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 100 })));
      await Promise.all(all.map(({ ready }) => ready));
    }
    expect(requests).toBe(1);
    expect(await readdir(dropletCacheDir)).toEqual([`sha1-${sha1}.tgz`]);
  });

  test.each([
    ["used by somebody", true, 2 * day, 0.1, 1],
    ["unused for a day", false, 2 * day, 0.1, 0],
    ["used an hour ago", false, 3_600_000, 0.1, 1],
    ["used an hour ago, the disk is too full", false, 3_600_000, 0.9, 0],
    ["used just now, the disk is too full", false, 0, 0.9, 1],
    ["used by somebody, the disk is too full", true, 3_600_000, 0.9, 1],
  ] as [string, boolean, number, number, number][])("%s", async (name, inUse, ageMs, ratio, left) => {
    const dir = join(folder.path, name.replaceAll(/\W/g, "-"));
    let full = 0.1;
    await using store = await openDropletStore({ dir, measureDisk: () => Promise.resolve(full) });
    const held = await store.hold(source(), never);
    if (!inUse) await held[Symbol.asyncDispose]();
    const [file] = await readdir(dir);
    const at = (Date.now() - ageMs) / 1000;
    await utimes(join(dir, file ?? ""), at, at);
    full = ratio;
    await store.reap();
    expect(await readdir(dir)).toHaveLength(left);
    await held[Symbol.asyncDispose]();
  });

  test("what cannot be verified reaches nobody who waits for it", async () => {
    await using store = await openDropletStore({ dir: join(folder.path, "wrong") });
    const wrong = { ...source(), sha1: "0".repeat(40) };
    const all = await Promise.allSettled([1, 2, 3].map(() => store.hold(wrong, never)));
    for (const one of all) expect(one).toMatchObject({ status: "rejected", reason: { code: "DEA_DROPLET_MISMATCH" } });
    await until(async () => (await readdir(join(folder.path, "wrong"))).length === 0);
  });
});
