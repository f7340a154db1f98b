import fc from "fast-check";
import { expect, test } from "vitest";
import { createLogBuffer } from "../src/instance/log-buffer.ts";
import { createLineSplitter } from "../src/instance/log-lines.ts";

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

function split(chunks: readonly (string | Buffer)[], maxLineBytes = 100): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter(maxLineBytes, (text) => lines.push(text));
  for (const chunk of chunks) splitter.push(Buffer.from(chunk as string));
  splitter.end();
  return lines;
}

test.each([
  ["one line", ["a\n"], ["a"]],
  ["no newline at the end", ["a\nb"], ["a", "b"]],
  ["over chunks", ["a", "b\nc", "\n"], ["ab", "c"]],
  ["empty lines are left out", ["\n\na\n\n"], ["a"]],
  ["carriage returns", ["a\r\nb\r\n"], ["a", "b"]],
  ["a character cut in two", [Buffer.from("ü\n").subarray(0, 1), Buffer.from("ü\n").subarray(1)], ["ü"]],
  ["exactly as long as allowed", [`${"x".repeat(100)}\n`], ["x".repeat(100)]],
  ["one too long", [`${"x".repeat(101)}\n`], [`${"x".repeat(100)} [... 1 bytes cut]`]],
  ["far too long, in pieces", ["x".repeat(70), "x".repeat(70), "x".repeat(5000), "\nb\n"], [`${"x".repeat(100)} [... 5040 bytes cut]`, "b"]],
] as [string, (string | Buffer)[], string[]][])("lines: %s", (_name, chunks, lines) => {
  expect(split(chunks)).toEqual(lines);
});

test("lines do not depend on how the bytes came", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", "ü", "\n", "\r", " ") , maxLength: 400 }), fc.array(fc.nat(40)), (text, sizes) => {
    const bytes = Buffer.from(text);
    const chunks: Buffer[] = [];
    let at = 0;
    for (const size of sizes) {
      chunks.push(bytes.subarray(at, at + size));
      at += size;
    }
    chunks.push(bytes.subarray(at));
    expect(split(chunks, 20)).toEqual(split([bytes], 20));
  }));
});

test("timestamps and sequences rise strictly, even when the clock does not", async () => {
  const buffer = createLogBuffer({ now: () => 1_000 - Math.random() * 500 });
  for (let i = 0; i < 100; i++) buffer.append("stdout", String(i));
  buffer.close();
  const lines = await collect(buffer.read());
  expect(lines).toHaveLength(100);
  for (let i = 1; i < lines.length; i++) {
    expect(lines[i]!.timestampNs > lines[i - 1]!.timestampNs).toBe(true);
    expect(lines[i]!.sequence).toBe(lines[i - 1]!.sequence + 1);
  }
});

test("keeps the last lines for those who come late", async () => {
  const buffer = createLogBuffer({ now: Date.now, maxLines: 10 });
  for (let i = 0; i < 25; i++) buffer.append("stdout", String(i));
  expect((await collect(buffer.read({ follow: false }))).map(({ text }) => text)).toEqual(["15", "16", "17", "18", "19", "20", "21", "22", "23", "24"]);
  expect((await collect(buffer.read({ follow: false, tail: 2 }))).map(({ text }) => text)).toEqual(["23", "24"]);
  expect(await collect(buffer.read({ follow: false, tail: 0 }))).toEqual([]);
});

test("is bounded in bytes too", async () => {
  const buffer = createLogBuffer({ now: Date.now, maxBytes: 10_000 });
  for (let i = 0; i < 100; i++) buffer.append("stdout", "x".repeat(3_000));
  expect((await collect(buffer.read({ follow: false }))).length).toBe(3);
});

test("a slow reader loses the oldest lines, is told how many, and holds up nobody", async () => {
  const buffer = createLogBuffer({ now: Date.now, maxLines: 10 });
  const slow = buffer.read();
  buffer.append("stdout", "first");
  expect((await slow.next()).value?.text).toBe("first");
  for (let i = 0; i < 50; i++) buffer.append("stdout", String(i));
  const notice = (await slow.next()).value;
  expect(notice).toMatchObject({ stream: "platform", text: "40 log lines dropped: the reader was too slow" });
  expect((await slow.next()).value?.text).toBe("40");
  buffer.close();
  expect((await collect(slow)).map(({ text }) => text)).toEqual(["41", "42", "43", "44", "45", "46", "47", "48", "49"]);
});

test("an aborted reader ends at once, also while it waits", async () => {
  const buffer = createLogBuffer({ now: Date.now });
  const stop = new AbortController();
  const reading = collect(buffer.read({ signal: stop.signal }));
  stop.abort();
  expect(await reading).toEqual([]);
});
