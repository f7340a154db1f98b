import { PassThrough } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createLogLimit } from "../src/instance/log-limit.ts";
import { createLineSplitter } from "../src/instance/log-lines.ts";
import { pumpLogs } from "../src/instance/log-pump.ts";
import { systemClock } from "../src/ports.ts";

test("dea §20.11: beyond the rate lines are read, counted, dropped and said; the app never waits", async () => {
  const said: string[] = [];
  let passed = 0;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const limit = createLogLimit({ linesPerSecond: 1_000, clock: { ...systemClock, elapsed: () => 0 }, notice: (text) => said.push(text) });
  const pumped = pumpLogs({ stdout, stderr }, () => (passed += 1), { limit });
  for (let round = 0; round < 100; round++) stdout.write("a line\n".repeat(500));
  stdout.end();
  stderr.end();
  stdout.once("end", () => stdout.destroy());
  stderr.once("end", () => stderr.destroy());
  await pumped;
  const dropped = said.reduce((sum, text) => sum + Number(/^(\d+) log lines dropped: more than 1000 a second$/.exec(text)?.[1]), 0);
  // Its last words are given out all the same.
  expect(passed).toBe(2_050);
  expect(passed + dropped).toBe(50_000);
});

test("what an app said last is heard, however much was dropped before; what was begun in the dropped part is not", async () => {
  const heard: string[] = [];
  const said: string[] = [];
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const limit = createLogLimit({ linesPerSecond: 1, clock: { ...systemClock, elapsed: () => 0 }, notice: (text) => said.push(text) });
  const pumped = pumpLogs({ stdout, stderr }, (stream, text) => heard.push(`${stream} ${text}`), { limit });
  stdout.write("one\ntwo\nthr");
  stdout.write(`ee\n${"x".repeat(20_000)}\n`);
  for (const line of ["why", "", "it ended", "half"]) stdout.write(line === "half" ? line : `${line}\n`);
  for (const stream of [stdout, stderr]) stream.once("end", () => stream.destroy()).end();
  await pumped;
  expect(heard).toEqual(["stdout one", "stdout two", "stdout three", "stdout why", "stdout it ended", "stdout half"]);
  expect(said).toEqual(["1 log lines dropped: more than 1 a second"]);
});

test("room comes back with time, to the burst and no further", () => {
  let now = 0;
  const limit = createLogLimit({ linesPerSecond: 10, clock: { ...systemClock, elapsed: () => now }, notice: () => {} });
  limit.passed(20);
  expect(limit.open()).toBe(false);
  now += 500;
  expect(limit.open()).toBe(true);
  limit.passed(5);
  expect(limit.open()).toBe(false);
  now += 3_600_000;
  expect(limit.open()).toBe(true);
  limit.passed(20);
  expect(limit.open()).toBe(false);
});

test("Infinity: no bound", () => {
  const limit = createLogLimit({ linesPerSecond: Number.POSITIVE_INFINITY, clock: systemClock, notice: () => {} });
  limit.passed(1e12);
  expect(limit.open()).toBe(true);
});

test("property: whatever is skipped, lines stay whole and none is lost uncounted", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 30 }), fc.boolean())), (chunks) => {
    const text = chunks.map(([piece]) => piece).join("");
    const whole = new Set(text.split("\n"));
    const lines: string[] = [];
    const splitter = createLineSplitter(1_000, (line) => lines.push(line));
    let skipped = 0;
    for (const [piece, skip] of chunks) {
      if (skip) skipped += splitter.skip(Buffer.from(piece));
      else splitter.push(Buffer.from(piece));
    }
    splitter.end();
    expect(lines.every((line) => whole.has(line))).toBe(true);
    const all = text.split("\n").filter((line) => line !== "").length;
    expect(lines.length).toBeLessThanOrEqual(all);
    expect(lines.length + skipped).toBeGreaterThanOrEqual(all);
  }));
});
