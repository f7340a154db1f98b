import { describe, expect, test } from "vitest";
import { handClock, kinds, pair, settled } from "./fixtures/bus-kit.ts";
import { createOnce } from "../src/bus/once.ts";

const { command, order } = kinds;
const to = { params: { to: "x" } };

describe("a handler that failed", () => {
  test.each([
    ["throws", () => { throw new Error("no"); }],
    ["rejects", () => Promise.reject(new Error("no"))],
    ["rejects later", async () => {
      await new Promise((done) => setTimeout(done, 5));
      throw new Error("no");
    }],
  ])("%s: has done nothing, so the command is carried out when it is repeated", async (_, fail) => {
    await using there = await pair();
    const { a, b } = there;
    let times = 0;
    b.subscribe(command, ({ respond }) => (++times === 1 ? fail() : void respond({ n: times })), { once: true });
    const ask = (timeoutMs: number) => a.request(command, { command_id: "c", n: 1 }, { ...to, timeoutMs });
    await expect(ask(50)).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
    expect(await ask(2_000)).toEqual({ n: 2 });
    expect(await ask(2_000)).toEqual({ n: 2 });
    expect(times).toBe(2);
  });

  test("after it had answered: it is done, and the answer is given again", async () => {
    await using there = await pair();
    const { a, b } = there;
    let times = 0;
    b.subscribe(command, ({ respond }) => {
      respond({ n: ++times });
      throw new Error("too late");
    }, { once: true });
    for (let i = 0; i < 3; i++) expect(await a.request(command, { command_id: "c", n: 1 }, to)).toEqual({ n: 1 });
    expect(b.counters.get("k.command.{to} handler_failed")).toBe(1);
  });

  test("a message without an answer likewise", async () => {
    await using there = await pair();
    const { a, b } = there;
    let times = 0;
    b.subscribe(order, () => {
      if (++times === 1) throw new Error("no");
    });
    for (let i = 0; i < 3; i++) {
      a.transport.publish("k.order", '{"n":1}', { headers: { "Opencf-Trace-Id": "t", "Opencf-Message-Id": "m" } });
      await settled(a, b);
    }
    expect(times).toBe(2);
  });
});

test("several answers: who asks again gets those that were given and those that are to come", async () => {
  await using there = await pair();
  const { a, b } = there;
  let second = (): void => undefined;
  b.subscribe(command, ({ respond }) => {
    respond({ n: 1 });
    second = () => void respond({ n: 2 });
  }, { once: true });
  const all = async (): Promise<number[]> => {
    const got: number[] = [];
    for await (const { n } of a.replies(command, { command_id: "c", n: 0 }, to)) if (got.push(n) === 2) break;
    return got;
  };
  const [one, two] = [all(), all()];
  await settled(a, b);
  second();
  expect(await Promise.all([one, two])).toEqual([[1, 2], [1, 2]]);
  expect(await all()).toEqual([1, 2]);
});

test("the same id to another receiver is another command", async () => {
  await using there = await pair();
  const { a, b } = there;
  const got: string[] = [];
  b.subscribe(command, ({ params }) => got.push(params["to"] ?? ""), { once: true });
  for (const each of ["x", "y", "x"]) a.publish(command, { command_id: "c", n: 1 }, { params: { to: each } });
  await settled(a, b);
  expect(got).toEqual(["x", "y"]);
});

test("an answer after the bus was closed is none, and harms nobody", async () => {
  await using there = await pair();
  const { a, b } = there;
  let late: (() => boolean) | undefined;
  b.subscribe(command, ({ respond }) => void (late = () => respond({ n: 1 })), { once: true });
  const asked = expect(a.request(command, { command_id: "c", n: 1 }, { ...to, timeoutMs: 50 })).rejects.toMatchObject({ code: "BUS_TIMEOUT" });
  await settled(a, b);
  await b.drain();
  expect(late?.()).toBe(false);
  await asked;
});

describe("what is remembered", () => {
  test("is bounded in number, in time and in bytes", () => {
    const clock = handClock();
    const once = createOnce(clock, { remember: 100, forMs: 1_000, maxAnswerBytes: 1_000 });
    for (let n = 0; n < 1_000; n++) once.keep(once.begin(String(n)), "x".repeat(100));
    const known = Array.from({ length: 1_000 }, (_, n) => once.find(String(n))).filter((seen) => seen !== undefined);
    expect(known).toHaveLength(100);
    expect(known.filter(({ answers }) => answers.length > 0)).toHaveLength(10);
    clock.advance(1_001);
    expect(once.find("999")).toBeUndefined();
  });

  test("a repeat pushes nothing out, itself least of all", () => {
    const once = createOnce(handClock(), { remember: 3 });
    for (const id of ["a", "b", "c"]) once.begin(id);
    for (let i = 0; i < 5; i++) expect(once.find("a")).toBeDefined();
    expect(["a", "b", "c"].map((id) => once.find(id) !== undefined)).toEqual([true, true, true]);
  });
});

test("ids of any length are told apart and cost little", async () => {
  await using there = await pair();
  const { a, b } = there;
  const got: number[] = [];
  b.subscribe(command, ({ body }) => got.push(body.n), { once: true });
  const long = "i".repeat(100_000);
  for (const [n, command_id] of [`${long}1`, `${long}2`, `${long}1`].entries()) a.publish(command, { command_id, n }, to);
  await settled(a, b);
  expect(got).toEqual([0, 1]);
});
