import fc from "fast-check";
import { expect, test } from "vitest";
import { HostMap } from "../../src/table/host-map.ts";

const value = (text: string) => ({ text });

test("any sequence of changes ends as in a plain map", () => {
  // Few names, so that they come and go; and long runs, so that shards grow, shrink and move their entries up.
  const name = fc.nat(400).map((number) => `app-${number}.example.com`);
  const change = fc.oneof({ weight: 3, arbitrary: name.map((host) => ({ host, put: true })) }, { weight: 2, arbitrary: name.map((host) => ({ host, put: false })) });
  fc.assert(fc.property(fc.array(change, { maxLength: 600, size: "max" }), (changes) => {
    const map = new HostMap<{ text: string }>();
    const model = new Map<string, { text: string }>();
    for (const { host, put } of changes) {
      if (put) {
        const one = value(host);
        map.set(host, one);
        model.set(host, one);
      } else expect(map.delete(host)).toBe(model.delete(host));
    }
    expect(map.size).toBe(model.size);
    for (let number = 0; number <= 400; number += 1) expect(map.get(`app-${number}.example.com`)).toBe(model.get(`app-${number}.example.com`));
    expect(new Set([...map.pieces()].flat())).toEqual(new Set(model.values()));
  }), { numRuns: 40 });
});

test("a hundred thousand names are found again, and none that is not there", () => {
  const map = new HostMap<{ text: string }>();
  for (let number = 0; number < 100_000; number += 1) map.set(`n${number}`, value(`n${number}`));
  for (let number = 0; number < 100_000; number += 7) expect(map.get(`n${number}`)?.text).toBe(`n${number}`);
  for (let number = 100_000; number < 101_000; number += 1) expect(map.get(`n${number}`)).toBeUndefined();
  for (let number = 0; number < 100_000; number += 1) if (number % 100 !== 0) map.delete(`n${number}`);
  expect([map.size, map.get("n500")?.text, map.get("n501")]).toEqual([1_000, "n500", undefined]);
});

test("what is there from beginning to end is met once, however the rest changes meanwhile", () => {
  const map = new HostMap<{ text: string }>();
  for (let number = 0; number < 5_000; number += 1) map.set(`stays-${number}`, value("stays"));
  const met = new Map<object, number>();
  let at = 0;
  for (const piece of map.pieces()) {
    for (const one of piece) met.set(one, (met.get(one) ?? 0) + 1);
    for (let n = 0; n < 40; n += 1) map.set(`comes-${at += 1}`, value("comes"));
    map.delete(`comes-${at - 20}`);
  }
  const stayed = [...met].filter(([one]) => (one as { text: string }).text === "stays");
  expect([stayed.length, new Set(stayed.map(([, times]) => times))]).toEqual([5_000, new Set([1])]);
});

test("names that are no Latin letters, empty or long", () => {
  const map = new HostMap<{ text: string }>();
  const names = ["", "a", "ä.example", "例え.jp", "x".repeat(300), "*.example.com", "[::1]"];
  for (const name of names) map.set(name, value(name));
  for (const name of names) expect(map.get(name)?.text).toBe(name);
});
