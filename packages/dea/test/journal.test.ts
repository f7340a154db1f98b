import { appendFile, mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DeaError } from "../src/errors.ts";
import { instanceSpec } from "../src/instance/spec.ts";
import { states } from "../src/instance/state.ts";
import { type Journal, type JournalOptions, journalPath, openJournal } from "../src/journal/journal.ts";
import type { InstanceRecord } from "../src/journal/record.ts";
import { temporaryFolder } from "./fixtures/droplet.ts";

const deaId = "6f3a9d0e-1111-4222-8333-444455556666";
const key = "a key of more than sixteen bytes";

function record(number: number, change: Partial<InstanceRecord> = {}): InstanceRecord {
  const { env: _env, services: _services, application: _application, droplet: _droplet, command: _command, ...spec } = instanceSpec({ droplet: "/d.tgz", appId: `app-${number}` });
  const id = number.toString(16).padStart(32, "0");
  return { id, privateId: id + id, state: "RUNNING", stateSince: 1, startedAt: 1, readyAt: 2, resumes: 0, port: 61_001, container: { pid: 2, startTicks: 3 }, spec, exit: undefined, ...change };
}
/** As a file gives it back: what is undefined is not there. */
const plain = (list: Iterable<InstanceRecord>): unknown => JSON.parse(JSON.stringify([...list]));

const logger = () => {
  const lines: string[] = [];
  const note = (event: string): void => void lines.push(event);
  return { lines, log: { info: note, warn: note, error: note } };
};
const open = (dir: string, more: Partial<JournalOptions> = {}): Promise<Journal> => openJournal({ dir, id: deaId, ...more });
async function found(dir: string, more: Partial<JournalOptions> = {}): Promise<readonly InstanceRecord[]> {
  await using journal = await open(dir, more);
  return journal.found;
}
async function written(dir: string, list: readonly InstanceRecord[], more: Partial<JournalOptions> = {}): Promise<void> {
  await using journal = await open(dir, more);
  for (const each of list) await journal.put(each);
}

describe("dea §12, §20.6: the journal", () => {
  test("tells what was put last, in the order of the beginnings, and nothing of what was dropped", async () => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1), record(2), record(3), record(1, { state: "STOPPING" })]);
    {
      await using journal = await open(folder.path);
      expect(plain(journal.found)).toEqual(plain([record(1, { state: "STOPPING" }), record(2), record(3)]));
      await journal.drop(record(2).id);
      await journal.drop("nobody");
    }
    expect((await found(folder.path)).map(({ spec }) => spec.appId)).toEqual(["app-1", "app-3"]);
  });

  test("is for its owner only, whatever it was before", async () => {
    await using folder = await temporaryFolder();
    await writeFile(journalPath(folder.path), "", { mode: 0o666 });
    await written(folder.path, [record(1)]);
    expect((await stat(journalPath(folder.path))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder.path)).toEqual(["journal.jsonl"]);
  });

  test("stays below four times what is true, however often it is written, and loses nothing by it", async () => {
    await using folder = await temporaryFolder();
    await using journal = await open(folder.path, { compactFromBytes: 20_000 });
    const one = Buffer.byteLength(JSON.stringify(record(1)));
    let largest = 0;
    for (let round = 0; round < 400; round++) {
      await journal.put(record(round % 5, { stateSince: round }));
      largest = Math.max(largest, (await stat(journalPath(folder.path))).size);
    }
    expect(largest).toBeLessThan(Math.max(20_000, 4 * 6 * one) + 2 * one);
    expect((await found(folder.path)).map(({ stateSince }) => stateSince).sort()).toEqual([395, 396, 397, 398, 399]);
  });

  test("writes that overlap share one, and each settles when the file has it", async () => {
    await using folder = await temporaryFolder();
    await using journal = await open(folder.path);
    await Promise.all(Array.from({ length: 500 }, (_, number) => journal.put(record(number))));
    expect(await readFile(journalPath(folder.path), "utf8")).toContain("app-499");
    expect(await found(folder.path)).toHaveLength(500);
  });

  test("cut off anywhere, it tells exactly the whole lines before: any history, any cut", async () => {
    const step = fc.record({ number: fc.nat(6), drop: fc.boolean(), state: fc.constantFrom(...states), text: fc.string() });
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean(), async (history, where, encrypted) => {
      await using folder = await temporaryFolder();
      const options = encrypted ? { key } : {};
      const truths: { bytes: number; list: unknown }[] = [];
      {
        await using journal = await open(folder.path, options);
        const now = new Map<string, InstanceRecord>();
        truths.push({ bytes: journal.bytes, list: [] });
        for (const { number, drop, state, text } of history) {
          const next = record(number, { state, privateId: text });
          if (drop) now.delete(next.id);
          else now.set(next.id, next);
          await (drop ? journal.drop(next.id) : journal.put(next));
          truths.push({ bytes: journal.bytes, list: plain(now.values()) });
        }
      }
      const header = truths[0]?.bytes ?? 0;
      const cut = header + Math.floor(where * ((truths.at(-1)?.bytes ?? 0) - header));
      await truncate(journalPath(folder.path), cut);
      expect(plain(await found(folder.path, options))).toEqual(truths.filter(({ bytes }) => bytes <= cut).at(-1)?.list);
    }), { numRuns: 40 });
  }, 60_000);

  test.each([
    ["a line cut off at the end", (text: string) => text.slice(0, -20), 2, "journal.tail"],
    ["a line cut off, and zeros after it, as a power failure leaves them", (text: string) => `${text}${"\0".repeat(300)}`, 3, "journal.tail"],
    ["a changed byte in the middle", (text: string) => text.replace("app-2", "app-9"), 2, "journal.line"],
    ["a damaged header", (text: string) => `x${text}`, 3, "journal.line"],
    ["nothing but garbage", () => "garbage\n\n\x01\x02\n", 0, "journal.line"],
    ["an entry that is whole but no instance", (text: string) => text, 3, ""],
    ["an empty file", () => "", 0, ""],
  ] as const)("damage: %s", async (_name, damage, left, said) => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1), record(2), record(3)]);
    const path = journalPath(folder.path);
    await writeFile(path, damage(await readFile(path, "utf8")));
    const { lines, log } = logger();
    expect(await found(folder.path, { log })).toHaveLength(left);
    expect(lines.includes(said)).toBe(said !== "");
    // What was damaged is kept to look at, and the file is whole again.
    expect((await readdir(folder.path)).includes("journal.jsonl.damaged")).toBe(said === "journal.line");
    const again = logger();
    expect(await found(folder.path, { log: again.log })).toHaveLength(left);
    expect(again.lines).toEqual([]);
  });

  test("the snapshot of an older executor is taken over, once", async () => {
    await using folder = await temporaryFolder();
    const lines = [{ format: "opencf-dea-snapshot", version: 1 }, record(1), { id: 7 }, record(2)];
    await writeFile(join(folder.path, "snapshot.jsonl"), `${lines.map((line) => JSON.stringify(line)).join("\n")}\n{"cut`);
    expect((await found(folder.path)).map(({ spec }) => spec.appId)).toEqual(["app-1", "app-2"]);
    expect(await readdir(folder.path)).toEqual(["journal.jsonl"]);
    expect(await found(folder.path)).toHaveLength(2);
  });

  test("a format of tomorrow is left as it is: DEA_JOURNAL", async () => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1)]);
    const path = journalPath(folder.path);
    const { crc32 } = await import("node:zlib");
    const header = JSON.stringify({ format: "opencf-dea-journal", version: 2, id: deaId, encrypted: false });
    const text = `${crc32(header).toString(16).padStart(8, "0")} ${header}\n`;
    await writeFile(path, text);
    await expect(open(folder.path)).rejects.toMatchObject({ code: "DEA_JOURNAL" });
    expect(await readFile(path, "utf8")).toBe(text);
  });

  test("a write that fails is told, and made up for by the next that works", async () => {
    await using folder = await temporaryFolder();
    const dir = join(folder.path, "a");
    await mkdir(dir);
    await using journal = await open(dir, { compactFromBytes: 1 });
    await journal.put(record(1));
    // A folder in the way of the rewritten file stands for a disk on which nothing can be made.
    await mkdir(`${journalPath(dir)}.part`);
    await expect(journal.compact()).rejects.toThrow();
    await journal.put(record(2));
    expect(await readFile(journalPath(dir), "utf8")).toContain("app-2");
    expect(journal.behind).toBe(false);
  });
});

describe("dea §20.6: secrets in the journal", () => {
  const secret = { env: [["PASSWORD", "very-secret-value"]] as const, services: {}, application: {}, droplet: { url: "https://x/?sig=also-secret" }, command: undefined };

  test("with a key nothing can be read without it", async () => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1, { secret })], { key });
    const text = await readFile(journalPath(folder.path), "utf8");
    for (const word of ["very-secret-value", "also-secret", "app-1", record(1).id]) expect(text).not.toContain(word);
    expect((await found(folder.path, { key }))[0]?.secret).toEqual(JSON.parse(JSON.stringify(secret)));
  });

  test.each([["another key", { key: "quite another key of this length" }], ["no key", {}]])("%s does not open it, and leaves it alone: DEA_JOURNAL", async (_name, options) => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1)], { key });
    const before = await readFile(journalPath(folder.path));
    await expect(open(folder.path, options)).rejects.toThrow(expect.objectContaining({ code: "DEA_JOURNAL" }) as DeaError);
    expect(await readFile(journalPath(folder.path))).toEqual(before);
    expect(await found(folder.path, { key })).toHaveLength(1);
  });

  test("a plain one is encrypted from the first start with a key on", async () => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1)]);
    expect(await found(folder.path, { key })).toHaveLength(1);
    expect(await readFile(journalPath(folder.path), "utf8")).not.toContain("app-1");
  });

  test("a key of a few letters is refused: DEA_INVALID_SPEC", async () => {
    await using folder = await temporaryFolder();
    await expect(open(folder.path, { key: "short" })).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
  });

  test("an encrypted entry that was changed is not believed", async () => {
    await using folder = await temporaryFolder();
    await written(folder.path, [record(1)], { key });
    await appendFile(journalPath(folder.path), "00000000 {\"put\":{}}\n");
    expect(await found(folder.path, { key })).toHaveLength(1);
  });
});
