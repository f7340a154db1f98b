import { appendFile, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openJournal } from "../../logs/journal.ts";
import { createLogStore, type IncomingEnvelope } from "../../logs/index.ts";
import { silentLogger } from "../../logs/ports.ts";
import { temporaryFolder } from "../support/bundle.ts";

const line = (source_id: string, n: number, payload = `line ${n}`): IncomingEnvelope => ({
  source_id, instance_id: "0", timestamp: String(1_000 + n), tags: { source_type: "APP/PROC/WEB", app_name: source_id }, type: n % 2 ? "ERR" : "OUT", payload,
});

async function open(folder: string, maxBytes = 1_000_000) {
  const store = createLogStore({ maxBytes: maxBytes / 2 });
  const journal = await openJournal({ folder, maxBytes, snapshot: () => store.all(), restore: (id, one) => store.restore(id, one), logger: silentLogger });
  return { store, journal, append: (envelopes: IncomingEnvelope[]) => journal.append(store.append(envelopes)), [Symbol.asyncDispose]: () => journal[Symbol.asyncDispose]() };
}
const dump = ({ store }: { store: ReturnType<typeof createLogStore> }) => [...store.all()];

test("lines and readings are there again after a restart, exactly", async () => {
  await using folder = await temporaryFolder();
  await using first = await open(folder.path);
  first.append([line("a", 1), line("b", 2, "späße\n\u2028"), line("a", 3)]);
  first.append([{ source_id: "a", instance_id: "1", timestamp: "5000", tags: {}, gauge: { cpu: { unit: "percentage", value: 1.5 } } }]);
  await first.journal.flush();
  const before = dump(first);
  await first[Symbol.asyncDispose]();
  await using second = await open(folder.path);
  expect(dump(second)).toEqual(before);
  second.append([line("a", 4)]);
  await second[Symbol.asyncDispose]();
  await using third = await open(folder.path);
  expect(dump(third).find(([id]) => id === "a")?.[1]).toHaveLength(4);
});

test.each(["", '["l","a","9', "\0\0\0\0", '["l","a","9999","0",0,"OUT","half', "[]\n{}\nnull\n7\n", '["l","a","x","0",0,"OUT","p"]\n'])(
  "a torn or foreign tail %j costs nothing but itself",
  async (tail) => {
    await using folder = await temporaryFolder();
    await using first = await open(folder.path);
    first.append([line("a", 1), line("a", 2)]);
    await first[Symbol.asyncDispose]();
    const name = (await readdir(folder.path)).at(-1) ?? "";
    await appendFile(join(folder.path, name), tail);
    await writeFile(join(folder.path, "0000000009.log.tmp"), "half a snapshot");
    await using second = await open(folder.path);
    expect(second.store.read("a").map(({ payload }) => payload)).toEqual(["line 1", "line 2"]);
    expect((await readdir(folder.path)).filter((file) => file.endsWith(".tmp"))).toEqual([]);
  },
);

test("cut at any byte, it gives back a prefix", async () => {
  await using folder = await temporaryFolder();
  await using first = await open(folder.path);
  first.append(Array.from({ length: 8 }, (_, i) => line("a", i, `zeile ${i} ü`)));
  await first[Symbol.asyncDispose]();
  const path = join(folder.path, (await readdir(folder.path)).at(-1) ?? "");
  const whole = await readFile(path);
  for (let length = 0; length <= whole.length; length += 7) {
    await writeFile(path, whole.subarray(0, length));
    await using cut = await open(folder.path);
    const payloads = cut.store.read("a").map(({ payload }) => payload);
    expect(payloads).toEqual(Array.from({ length: payloads.length }, (_, i) => `zeile ${i} ü`));
  }
});

test("the disk stays bounded under a flood, and memory comes back from the snapshot", { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder();
  const maxBytes = 1_000_000;
  await using first = await open(folder.path, maxBytes);
  first.append([line("quiet", 0, "still here")]);
  let peak = 0;
  for (let batch = 0; batch < 120; batch += 1) {
    first.append(Array.from({ length: 500 }, (_, i) => line(`noisy-${i % 3}`, batch * 500 + i, "x".repeat(100))));
    await first.journal.flush();
    const sizes = await Promise.all((await readdir(folder.path)).map(async (name) => (await stat(join(folder.path, name)).catch(() => undefined))?.size ?? 0));
    peak = Math.max(peak, sizes.reduce((a, b) => a + b, 0));
  }
  expect(first.journal.lost).toBe(0);
  expect(peak).toBeLessThan(maxBytes * 1.6);
  const before = new Map(dump(first).map(([id, all]) => [id, all.at(-1)?.timestamp]));
  await first[Symbol.asyncDispose]();
  await using second = await open(folder.path, maxBytes);
  expect(new Map(dump(second).map(([id, all]) => [id, all.at(-1)?.timestamp]))).toEqual(before);
  expect(second.store.read("quiet").map(({ payload }) => payload)).toEqual(["still here"]);
});

test("a disk that fails loses lines from the disk only, and says how many", async () => {
  await using folder = await temporaryFolder();
  await using first = await open(join(folder.path, "logs"));
  await rm(join(folder.path, "logs"), { recursive: true });
  await writeFile(join(folder.path, "logs"), "not a folder");
  first.append([line("a", 1)]);
  await first.journal.flush();
  first.append([line("a", 2)]);
  expect(first.journal.lost).toBe(2);
  expect(first.store.read("a")).toHaveLength(2);
});
