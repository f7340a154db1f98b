import { createServer } from "node:net";
import { beforeAll, expect, test } from "vitest";
import { createPortPool } from "../src/port-pool.ts";

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "0.0.0.0", () => server.close(() => resolve(true)));
  });

let first = 0;
beforeAll(async () => {
  // Below the ports the kernel hands out by itself, and all forty free.
  for (;;) {
    first = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all(Array.from({ length: 40 }, (_, i) => canListen(first + i)));
    if (free.every(Boolean)) return;
  }
});
const clockAt = (state: { now: number }) => ({ now: () => state.now, after: () => ({ [Symbol.dispose]() {} }) });

test("a port comes back only after its rest", async () => {
  const time = { now: 0 };
  const pool = createPortPool({ first, last: first + 1, restMs: 60_000, clock: clockAt(time) });
  const one = await pool.take();
  const two = await pool.take();
  expect(new Set([one.number, two.number])).toEqual(new Set([first, first + 1]));
  await expect(pool.take()).rejects.toMatchObject({ code: "DEA_NO_PORT", retryable: true });
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  time.now = 59_999;
  await expect(pool.take()).rejects.toMatchObject({ code: "DEA_NO_PORT" });
  time.now = 60_000;
  using again = await pool.take();
  expect(again.number).toBe(one.number);
  two[Symbol.dispose]();
});

test("ports go round before they come back", async () => {
  const pool = createPortPool({ first: first + 10, last: first + 19, restMs: 0 });
  const seen: number[] = [];
  for (let i = 0; i < 10; i++) {
    using port = await pool.take();
    seen.push(port.number);
  }
  expect(new Set(seen).size).toBe(10);
});

test("skips a port somebody listens on, and one another executor has claimed", async () => {
  const range = { first: first + 30, last: first + 32 };
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(range.first, "0.0.0.0", resolve));
  try {
    const [one, other] = [createPortPool(range), createPortPool(range)];
    using mine = await one.take();
    using theirs = await other.take();
    expect(new Set([range.first, mine.number, theirs.number]).size).toBe(3);
    await expect(one.take(range.first)).rejects.toMatchObject({ code: "DEA_NO_PORT" });
    await expect(one.take(theirs.number)).rejects.toMatchObject({ code: "DEA_NO_PORT" });
  } finally {
    server.close();
  }
});
