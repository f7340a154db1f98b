import { AsyncResource } from "node:async_hooks";
import { once } from "node:events";
import { connect } from "node:net";
import { Type } from "@sinclair/typebox";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBus, headerNames, message, natsTransport } from "@opencf/bus";
import { kinds, handClock, Numbered, pair, settled } from "./fixtures/bus-kit.ts";
import { startNatsServer } from "./fixtures/nats-server.ts";

const { plain, ask, command, state } = kinds;
const about = { about: "test", from: "test", to: "test" };

describe("a body that is wrong a hundred thousand times", () => {
  const many = message("h.many", Type.Object({ list: Type.Array(Type.Union([Type.String(), Type.Object({ a: Type.String(), b: Type.String() })])), map: Type.Optional(Type.Record(Type.String(), Type.String())) }), about);
  const map = JSON.stringify(Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`k${n}`, 1])));
  test.each([
    ["wrong entries", `{"list":[${"1,".repeat(300_000)}1]}`],
    ["objects", `{"list":[${"{},".repeat(300_000)}{}]}`],
    ["wrong values", `{"list":[],"map":${map}}`],
    ["nested arrays", `{"list":${"[".repeat(400_000)}${"]".repeat(400_000)}}`],
    ["one wrong behind many good", `{"list":[${'"x",'.repeat(100_000)}1]}`],
    ["a name of a megabyte", `{"list":[],"map":{"${"k".repeat(1_000_000)}":1}}`],
    ["a name that would forge a line", `{"list":[],"map":{"a\\nWARN all is well\\u001b[2J":1}}`],
  ])("%s: refused in little time with little to say", (_, text) => {
    many.body.parse('{"list":[1]}');
    JSON.parse(text);
    const startedMs = performance.now();
    const before = process.memoryUsage().heapUsed;
    const parsed = many.body.parse(text);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 1_048_576);
    expect(parsed.ok).toBe(false);
    if (parsed.ok) return;
    expect(parsed.issues.length).toBeGreaterThan(0);
    expect(parsed.issues.length).toBeLessThanOrEqual(20);
    for (const issue of parsed.issues) {
      expect(issue.length).toBeLessThan(400);
      expect(issue).not.toMatch(/[\0-\x1f\x7f]/);
    }
  });

  test("the same when it is sent", () => {
    const list = Array.from({ length: 300_000 }, () => 1) as never;
    const startedMs = performance.now();
    expect(() => many.body.encode({ list })).toThrow(expect.objectContaining({ code: "BUS_INVALID_MESSAGE" }));
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });
});

test("a schema that calls itself, and a body deeper than the stack: refused, never thrown", () => {
  const tree = message("h.tree", Type.Recursive((This) => Type.Object({ of: Type.Optional(This) })), about);
  const depth = 150_000;
  const parsed = tree.body.parse(`${'{"of":'.repeat(depth)}{}${"}".repeat(depth)}`);
  expect(parsed.ok).toBe(false);
  let deep: { of?: object } = {};
  for (let i = 0; i < depth; i++) deep = { of: deep };
  expect(() => tree.body.encode(deep)).toThrow(expect.objectContaining({ code: "BUS_INVALID_MESSAGE" }));
});

test("`parse` never throws, whatever the bytes; `encode` throws nothing but BUS_INVALID_MESSAGE, whatever the value", () => {
  const formats = (["json", "none", "text", "zlib"] as const).map((codec) => message("h.any", codec === "text" ? Type.String() : Type.Unknown(), { ...about, codec }).body);
  fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.string({ unit: "binary" }), fc.json()), (data) => {
    for (const format of formats) expect(format.parse(data)).toHaveProperty("ok");
  }));
  fc.assert(fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withMap: true, withSparseArray: true }), (value) => {
    for (const format of formats) {
      let data;
      try {
        data = format.encode(value as never);
      } catch (error) {
        expect(error).toMatchObject({ code: "BUS_INVALID_MESSAGE" });
        continue;
      }
      expect(typeof data === "string" || data instanceof Uint8Array).toBe(true);
      expect(format.parse(data).ok).toBe(true);
    }
  }));
});

describe("bodies at the edge of JSON", () => {
  const any = message("h.any", Type.Unknown(), about);
  const text = message("h.text", Type.String(), { ...about, codec: "text" });
  test.each<[string, Uint8Array | string, unknown]>([
    ["nothing is an empty object", "", {}],
    ["bytes that are no UTF-8 become the sign for that", Buffer.from([0x22, 0xff, 0x22]), "\ufffd"],
    ["half a pair of surrogates stays, escaped", '"\\ud800"', "\ud800"],
    ["a mark of byte order is passed over", Buffer.from('\ufeff{"a":1}'), { a: 1 }],
    ["what a number cannot hold is rounded, as JavaScript does", "9007199254740993", 9_007_199_254_740_992],
  ])("%s", (_, data, body) => {
    expect(any.body.parse(data)).toEqual({ ok: true, body });
  });

  test("`__proto__` is a field like any other and changes nobody", () => {
    const parsed = any.body.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}');
    expect(parsed.ok && Object.hasOwn(parsed.body as object, "__proto__")).toBe(true);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(kinds.plain.body.parse('{"__proto__":{"n":1}}').ok).toBe(false);
  });

  test.each([["NaN", NaN], ["Infinity", Infinity]])("%s is no number on the wire", (_, n) => {
    expect(() => plain.body.encode({ n })).toThrow(expect.objectContaining({ code: "BUS_INVALID_MESSAGE" }));
  });

  test("half a pair of surrogates is written so that it can be read", () => {
    expect(any.body.encode("\ud800")).toBe('"\\ud800"');
    expect(text.body.parse("")).toEqual({ ok: true, body: "" });
  });

  test("a body that is no object where the policy or the id asks for a field", async () => {
    const loose = message("h.loose", Type.Unknown(), { ...about, id: "command_id", onDisconnect: { kind: "latest-per-key", key: ["of"] } });
    await using there = await pair();
    const { hub, own, a, b } = there;
    const got: unknown[] = [];
    b.subscribe(loose, ({ body }) => got.push(body), { once: true });
    await b.flush();
    hub.disconnect(own);
    a.publish(loose, null);
    hub.reconnect(own);
    await expect.poll(() => got).toEqual([null]);
  });
});

describe("subjects", () => {
  test.each(["$&", "$1", "$$", "a+b(c)[d]", "\\", "{id}", "^x$", "__proto__"])("the value %s stands for itself, there and back", async (value) => {
    await using there = await pair();
    const { a, b } = there;
    const got: unknown[] = [];
    b.subscribe(command, (delivery) => got.push([delivery.params["to"], delivery.subject]));
    b.subscribe(command, (delivery) => got.push([delivery.params["to"]]), { params: { to: value } });
    a.publish(command, { command_id: "1", n: 1 }, { params: { to: value } });
    a.publish(command, { command_id: "1", n: 1 }, { params: { to: "other" } });
    await settled(a, b);
    expect(got).toEqual(expect.arrayContaining([[value, `k.command.${value}`], [value], ["other", "k.command.other"]]));
    expect(got).toHaveLength(3);
  });

  test.each<[string, unknown]>([["a dot", "a.b"], ["a star", "*"], ["a fence", ">"], ["a blank", "a b"], ["a line end", "a\r\nPUB x"], ["nothing", ""], ["a number", 7], ["an object", {}], ["null", null]])("%s is no value", async (_, to) => {
    await using there = await pair();
    const { a } = there;
    const params = { to: to as string };
    expect(() => a.publish(command, { command_id: "1", n: 1 }, { params })).toThrow(expect.objectContaining({ code: "BUS_INVALID_SUBJECT" }));
    expect(() => a.subscribe(command, { params })).toThrow(expect.objectContaining({ code: "BUS_INVALID_SUBJECT" }));
  });

  test("names that every object has are not there unless they are given", async () => {
    const odd = message("h.{constructor}.{toString}", Numbered, about);
    await using there = await pair();
    const { a, b } = there;
    const got: unknown[] = [];
    b.subscribe(odd, ({ params }) => got.push({ ...params }));
    expect(() => a.publish(odd, { n: 1 })).toThrow(expect.objectContaining({ code: "BUS_INVALID_SUBJECT" }));
    a.publish(odd, { n: 1 }, { params: { constructor: "a", toString: "b" } as never });
    await settled(a, b);
    expect(got).toEqual([{ constructor: "a", toString: "b" }]);
  });

  test.each(["a b", "", ".a", "a..b", "a.{id}x", "{a}{b}", "a.{}", "a.{id", "a.>", "*.a", "a.{a-b}"])("%s is refused as the subject of a message when it is declared", (subject) => {
    expect(() => message(subject, Numbered, about)).toThrow(expect.objectContaining({ code: "BUS_INVALID_SUBJECT" }));
  });
});

describe("headers of others", () => {
  test.each([["very long", "x".repeat(100_000)], ["with blanks", "a b"], ["empty", ""], ["not ASCII", "ä"]])("a trace id that is %s is none, and hinders no handler", async (_, traceId) => {
    await using there = await pair();
    const { a, b } = there;
    const got: unknown[] = [];
    b.subscribe(plain, ({ trace }) => {
      got.push(trace);
      b.publish(state, { of: "x", n: 1 });
    });
    const told: unknown[] = [];
    a.subscribe(state, ({ headers }) => told.push(headers));
    a.publish(plain, { n: 1 }, { headers: { [headerNames.trace]: traceId, [headerNames.message]: "m" } });
    await settled(a, b, a);
    expect(got).toEqual([undefined]);
    expect(told).toEqual([undefined]);
    expect([...b.counters]).toEqual([]);
  });

  test("headers of the caller go before ours; a name with a line end goes nowhere", async () => {
    await using there = await pair();
    const { a, b } = there;
    const got: unknown[] = [];
    b.subscribe(command, ({ trace }) => got.push(trace));
    const params = { to: "x" };
    a.publish(command, { command_id: "1", n: 1 }, { params, headers: { [headerNames.trace]: "mine", [headerNames.message]: "this" } });
    await settled(a, b);
    expect(got).toEqual([{ traceId: "mine", messageId: "this", causationId: undefined, sender: "a/0" }]);
    for (const headers of [{ "a\r\nb": "c" }, { a: "b\r\nc: d" }, { "": "a" }] as Record<string, string>[])
      expect(() => a.publish(command, { command_id: "1", n: 1 }, { params, headers })).toThrow(expect.objectContaining({ code: "BUS_INVALID_HEADER" }));
  });
});

test("a question whose subject for answers makes no sense costs its answer, not the handler", async () => {
  await using server = await startNatsServer();
  await using bus = await createBus({ transport: natsTransport({ servers: server.url }), lanes: "single" });
  const got: unknown[] = [];
  bus.subscribe(ask, async ({ body, respond }) => {
    await Promise.resolve();
    got.push(respond(body));
  }, { once: true });
  await bus.flush();
  const raw = connect(server.port, "127.0.0.1");
  await once(raw, "data");
  const block = `NATS/1.0\r\nOpencf-Message-Id: m\r\n\r\n`;
  raw.write("CONNECT {\"verbose\":false,\"headers\":true}\r\n");
  for (const reply of ["a..b", ".x.", "a."])
    raw.write(`HPUB k.ask ${reply} ${block.length} ${block.length + 7}\r\n${block}{"n":1}\r\nHPUB k.ask ${reply} ${block.length} ${block.length + 7}\r\n${block}{"n":1}\r\n`);
  raw.write('PUB k.ask a..c 7\r\n{"n":1}\r\n');
  await expect.poll(() => bus.counters.get("k.ask answer_lost") ?? 0).toBeGreaterThan(1);
  expect(bus.counters.has("k.ask handler_failed")).toBe(false);
  expect(got.every((sent) => sent === false)).toBe(true);
  raw.destroy();
});

describe("traces and timers", () => {
  test("a loop that a handler starts carries its trace for a while, not for ever; a cause that is named always holds", async () => {
    const clock = handClock();
    await using there = await pair({ clock });
    const { a, b } = there;
    let beat = (): void => undefined;
    let named = (): void => undefined;
    let late = (): void => undefined;
    b.subscribe(plain, (cause) => {
      beat = inThisContext(() => b.publish(state, { of: "x", n: 1 }));
      late = inThisContext(() => b.publish(command, { command_id: "1", n: 1 }, { params: { to: "x" } }));
      named = () => b.publish(state, { of: "x", n: 2 }, { cause });
    });
    const traces: unknown[] = [];
    a.subscribe(state, ({ trace }) => traces.push(trace?.traceId));
    a.subscribe(command, ({ trace }) => traces.push(trace?.traceId));
    a.publish(plain, { n: 1 }, { headers: { [headerNames.trace]: "t", [headerNames.message]: "m" } });
    await settled(a, b);
    const say = async (ms: number): Promise<unknown[]> => {
      clock.advance(ms);
      traces.length = 0;
      for (const each of [beat, late, named]) each();
      await settled(b, a);
      return [...traces];
    };
    expect(await say(1_000)).toEqual(["t", "t", "t"]);
    expect(await say(120_000)).toEqual([undefined, "t", "t"]);
    const [first, second, third] = await say(3_600_000);
    expect([first, third]).toEqual([undefined, "t"]);
    expect(second).not.toBe("t");
  });
});

/** Keeps the asynchronous context, as a timer does. */
function inThisContext(run: () => void): () => void {
  return AsyncResource.bind(run);
}
