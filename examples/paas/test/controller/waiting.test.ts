import { expect, test } from "vitest";
import { createWaiting, longPoll } from "../../controller/api/waiting.ts";

test("a change wakes whoever waits for it, and nobody else", async () => {
  const waiting = createWaiting();
  const woken: string[] = [];
  const one = waiting.change("a", 10_000).then(() => woken.push("a"));
  const other = new AbortController();
  const two = waiting.change("b", 10_000, other.signal).then(() => woken.push("b"));
  waiting.changed("a");
  await one;
  expect(woken).toEqual(["a"]);
  other.abort();
  await two;
  expect(woken).toEqual(["a", "b"]);
});

test("a change while reading is not missed", async () => {
  const waiting = createWaiting();
  let reads = 0;
  const value = await longPoll(waiting, "x", {
    read: async () => {
      reads++;
      if (reads === 1) waiting.changed("x");
      return reads;
    },
    finished: (count) => count === 2,
    timeoutMs: 60_000,
  });
  expect(value).toBe(2);
});

test("what is finished is answered at once, what is not after the time", async () => {
  const waiting = createWaiting();
  expect(await longPoll(waiting, "x", { read: async () => 1, finished: () => true, timeoutMs: 60_000 })).toBe(1);
  expect(await longPoll(waiting, "x", { read: async () => 2, finished: () => false, timeoutMs: 20 })).toBe(2);
});
