import assert from "node:assert/strict";
import { Type } from "@sinclair/typebox";
import { createBus } from "./bus.ts";
import { BusError } from "./errors.ts";
import { message } from "./schema.ts";
import type { Packet, Transport } from "./transport.ts";

/** Two connections to the same carrier; the case disposes them. */
export type MakePair = () => Promise<[Transport, Transport]>;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (packet: Packet): string => new TextDecoder().decode(packet.data);

/** Collects what arrives and waits until there is enough of it. */
function collector() {
  const got: Packet[] = [];
  let wake = (): void => undefined;
  return {
    got,
    receive: (packet: Packet): void => {
      got.push(packet);
      wake();
    },
    async until(count: number, ms = 5_000): Promise<void> {
      const deadline = Date.now() + ms;
      while (got.length < count) {
        const left = deadline - Date.now();
        if (left <= 0) assert.fail(`${got.length} of ${count} messages arrived`);
        await new Promise<void>((done) => {
          const timer = setTimeout(done, left);
          wake = () => (clearTimeout(timer), done());
        });
      }
    },
  };
}

/** Both sides have said all they had, and it has gone through: a marker published last is seen by its own subscription. */
async function settle(...transports: Transport[]): Promise<void> {
  for (const transport of transports) {
    const mark = collector();
    const subject = `settle.${Math.random().toString(36).slice(2)}`;
    const taken = transport.subscribe(subject, mark.receive);
    await transport.flush();
    transport.publish(subject, bytes("x"));
    await mark.until(1);
    taken.unsubscribe();
    await transport.flush();
  }
}

const echo = message("conformance.echo.{id}", Type.Object({ n: Type.Integer() }), {
  reply: Type.Object({ n: Type.Integer(), by: Type.String() }), about: "test", from: "test", to: "test",
});

const within = async (a: Transport, b: Transport, use: () => Promise<void>): Promise<void> => {
  try {
    await use();
  } finally {
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  }
};

/**
 * What a transport must do. Run every case against yours, with any test runner:
 * `for (const [title, check] of Object.entries(transportCases)) test(title, () => check(makePair))`.
 */
export const transportCases: Readonly<Record<string, (make: MakePair) => Promise<void>>> = {
  async "publish with nobody listening returns normally"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      assert.equal(a.publish("nobody.here", bytes("x")), true);
      await a.flush();
    });
  },

  async "an exact subject gives one copy per subscription, also to the sender itself"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const [one, two, three] = [collector(), collector(), collector()];
      a.subscribe("exact.subject", one.receive);
      b.subscribe("exact.subject", two.receive);
      b.subscribe("exact.subject", three.receive);
      await settle(a, b);
      a.publish("exact.subject", bytes("hello"));
      await Promise.all([one.until(1), two.until(1), three.until(1)]);
      await settle(a, b);
      assert.deepEqual([one.got.length, two.got.length, three.got.length], [1, 1, 1]);
      assert.equal(text(two.got[0] as Packet), "hello");
    });
  },

  async "* is exactly one token, > is one or more, case matters"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const [star, tail, upper] = [collector(), collector(), collector()];
      b.subscribe("a.*.c", star.receive);
      b.subscribe("a.>", tail.receive);
      b.subscribe("A.>", upper.receive);
      await settle(b);
      for (const subject of ["a", "a.c", "a.b.c", "a.b.b.c", "a.b.c.d"]) a.publish(subject, bytes(subject));
      await tail.until(4);
      await settle(a, b);
      assert.deepEqual(star.got.map(text), ["a.b.c"]);
      assert.deepEqual(tail.got.map(text), ["a.c", "a.b.c", "a.b.b.c", "a.b.c.d"]);
      assert.equal(upper.got.length, 0);
    });
  },

  async "malformed subjects are refused in the caller"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      for (const subject of ["", " ", "a b", "a\tb", "a\r\nPUB x", ".a", "a.", "a..b"]) {
        assert.throws(() => a.publish(subject, bytes("x")), { code: "BUS_INVALID_SUBJECT" }, JSON.stringify(subject));
        assert.throws(() => a.subscribe(subject, () => undefined), { code: "BUS_INVALID_SUBJECT" }, JSON.stringify(subject));
      }
      assert.throws(() => a.subscribe("a.>.b", () => undefined), { code: "BUS_INVALID_SUBJECT" });
      await a.flush();
    });
  },

  async "no handler runs inside publish"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const got = collector();
      a.subscribe("later", got.receive);
      await settle(a);
      a.publish("later", bytes("x"));
      assert.equal(got.got.length, 0);
      await got.until(1);
    });
  },

  async "one publisher's messages arrive in order"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const got = collector();
      b.subscribe("order.>", got.receive);
      await settle(b);
      for (let i = 0; i < 1_000; i++) a.publish(`order.${i % 3}`, bytes(String(i)));
      await got.until(1_000);
      assert.deepEqual(got.got.map((packet) => Number(text(packet))), Array.from({ length: 1_000 }, (_, i) => i));
    });
  },

  async "a receiver that changes its payload changes nobody else's, nor does the sender later"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const [one, two] = [collector(), collector()];
      b.subscribe("payload", (packet) => {
        packet.data.fill(0);
        one.receive(packet);
      });
      b.subscribe("payload", two.receive);
      await settle(b);
      const data = bytes("intact");
      a.publish("payload", data);
      await a.flush();
      await Promise.all([one.until(1), two.until(1)]);
      assert.equal(text(two.got[0] as Packet), "intact");
    });
  },

  async "an empty payload stays empty"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const got = collector();
      b.subscribe("empty", got.receive);
      await settle(b);
      a.publish("empty", new Uint8Array());
      await got.until(1);
      assert.equal(got.got[0]?.data.length, 0);
    });
  },

  async "an oversized payload is refused in the caller, nothing is sent, the connection lives"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const got = collector();
      b.subscribe("size", got.receive);
      await settle(b);
      assert.throws(() => a.publish("size", new Uint8Array(a.maxPayloadBytes + 1)), { code: "BUS_PAYLOAD_TOO_LARGE" });
      a.publish("size", bytes("small"));
      await got.until(1);
      assert.deepEqual(got.got.map(text), ["small"]);
    });
  },

  async "a queue group gives each message to one member, evenly enough; another group and a plain subscriber get their own copy"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const [one, two, other, plain] = [collector(), collector(), collector(), collector()];
      a.subscribe("work", one.receive, "group");
      b.subscribe("work", two.receive, "group");
      b.subscribe("work", other.receive, "others");
      b.subscribe("work", plain.receive);
      await settle(a, b);
      for (let i = 0; i < 1_000; i++) b.publish("work", bytes(String(i)));
      await Promise.all([plain.until(1_000), other.until(1_000)]);
      await settle(a, b);
      assert.equal(one.got.length + two.got.length, 1_000);
      assert.ok(one.got.length > 100 && two.got.length > 100, `${one.got.length} and ${two.got.length}`);
    });
  },

  async "a member that leaves is not missed"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const [one, two] = [collector(), collector()];
      const leaving = a.subscribe("leave", one.receive, "group");
      b.subscribe("leave", two.receive, "group");
      await settle(a, b);
      leaving.unsubscribe();
      leaving.unsubscribe();
      await settle(a);
      for (let i = 0; i < 50; i++) b.publish("leave", bytes(String(i)));
      await two.until(50);
      assert.equal(one.got.length, 0);
    });
  },

  async "a request into the void is answered at once, a queue member counts as interest"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const inbox = collector();
      a.subscribe("_INBOX.test", inbox.receive);
      await settle(a);
      a.publish("void", bytes("?"), "_INBOX.test");
      await inbox.until(1, 1_000);
      assert.equal(inbox.got[0]?.noResponders, true);
      b.subscribe("void", (packet) => void b.publish(packet.reply as string, bytes("!")), "group");
      await settle(b);
      a.publish("void", bytes("?"), "_INBOX.test");
      await inbox.until(2);
      assert.equal(inbox.got[1]?.noResponders, undefined);
      assert.equal(text(inbox.got[1] as Packet), "!");
    });
  },

  async "a throwing receiver harms nobody"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const got = collector();
      const warnings = process.listeners("warning");
      process.removeAllListeners("warning");
      try {
        b.subscribe("throw", () => {
          throw new Error("on purpose");
        });
        b.subscribe("throw", got.receive);
        await settle(b);
        a.publish("throw", bytes("1"));
        a.publish("throw", bytes("2"));
        await got.until(2);
      } finally {
        for (const listener of warnings) process.on("warning", listener);
      }
    });
  },

  async "after closing, everything says so"(make) {
    const [a, b] = await make();
    await within(a, b, async () => {
      const seen: string[] = [];
      a.onStatus((status) => seen.push(status));
      await a[Symbol.asyncDispose]();
      await a[Symbol.asyncDispose]();
      assert.equal(a.status, "closed");
      assert.ok(seen.includes("closed"));
      assert.throws(() => a.publish("x", bytes("x")), { code: "BUS_CLOSED" });
      assert.throws(() => a.subscribe("x", () => undefined), { code: "BUS_CLOSED" });
    });
  },

  async "typed: request, gather, several replies, no responders, timeout, abort"(make) {
    const [a, b] = await make();
    const [asking, answering] = [await createBus({ transport: a }), await createBus({ transport: b })];
    await within(a, b, async () => {
      await assert.rejects(asking.request(echo, { n: 1 }, { params: { id: "7" } }), { code: "BUS_NO_RESPONDERS" });
      answering.subscribe(echo, ({ body, params, respond }) => respond({ n: body.n, by: `one ${params["id"]}` }));
      answering.subscribe(echo, ({ body, respond }) => body.n > 0 && respond({ n: body.n + 1, by: "two" }));
      await settle(b);
      assert.equal((await asking.request(echo, { n: 0 }, { params: { id: "7" } })).by, "one 7");
      assert.deepEqual((await asking.gather(echo, { n: 5 }, { params: { id: "7" }, waitMs: 2_000, max: 2 })).map(({ n }) => n).sort(), [5, 6]);
      assert.equal((await asking.gather(echo, { n: 0 }, { params: { id: "7" }, waitMs: 150 })).length, 1);
      const seen: string[] = [];
      for await (const { by } of asking.replies(echo, { n: 5 }, { params: { id: "8" }, timeoutMs: 2_000 })) if (seen.push(by) === 2) break;
      assert.deepEqual(seen.sort(), ["one 8", "two"]);
      b.subscribe("conformance.echo.mute", () => undefined);
      const mute = message("conformance.echo.mute", Type.Object({}), { reply: Type.Object({}), about: "", from: "", to: "" });
      // The wildcard subscriptions above see it too and find no number in it.
      await settle(b);
      const started = Date.now();
      await assert.rejects(asking.request(mute, {}, { timeoutMs: 200 }), { code: "BUS_TIMEOUT" });
      assert.ok(Date.now() - started >= 180);
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error("enough")), 30);
      await assert.rejects(asking.request(mute, {}, { timeoutMs: 60_000, signal: stop.signal }), /enough/);
      assert.throws(() => asking.publish(echo, { n: "x" } as never, { params: { id: "7" } }), (error) => error instanceof BusError && /n: must be integer/.test(error.message));
    });
  },

  async "typed: a malformed message is counted and passed over, the loop goes on"(make) {
    const [a, b] = await make();
    const bus = await createBus({ transport: b });
    await within(a, b, async () => {
      const subscription = bus.subscribe(echo);
      await settle(b);
      a.publish("conformance.echo.x", bytes("{nonsense"));
      a.publish("conformance.echo.x", bytes(`{"n":"one"}`));
      a.publish("conformance.echo.x", bytes(`{"n":1,"unknown":true}`));
      for await (const { body, params } of subscription) {
        assert.equal(body.n, 1);
        assert.equal(params["id"], "x");
        break;
      }
      assert.equal(bus.counters.get("conformance.echo.{id} invalid_message"), 2);
    });
  },

  async "typed: a slow reader forgets the oldest and counts them"(make) {
    const [a, b] = await make();
    const bus = await createBus({ transport: b });
    await within(a, b, async () => {
      const slow = bus.subscribe(echo, { maxPending: 10 });
      const all = collector();
      b.subscribe("conformance.echo.y", all.receive);
      await settle(b);
      for (let n = 0; n < 25; n++) a.publish("conformance.echo.y", bytes(JSON.stringify({ n })));
      await all.until(25);
      await settle(b);
      assert.deepEqual([slow.pending, slow.dropped], [10, 15]);
      for await (const { body } of slow) {
        assert.equal(body.n, 15);
        break;
      }
    });
  },
};
