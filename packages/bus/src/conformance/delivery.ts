import assert from "node:assert/strict";
import { headerBytes, type HeadersInit } from "../headers.ts";
import { bytes, collector, eventsOf, fresh, item, numbers, passed, ready, texts } from "./tools.ts";
import type { Cases } from "./world.ts";

/** Items 8 to 12, 18 and 44: how a packet travels. */
export const deliveryCases: Cases = {
  "8 no receiver runs inside publish": item(async ({ connect }) => {
    const a = await connect();
    const subject = fresh();
    const got = collector();
    a.subscribe(subject, got.receive);
    await ready(a);
    for (let n = 0; n < 10; n++) {
      a.publish(subject, "x");
      assert.equal(got.got.length, 0);
    }
    await Promise.resolve();
    assert.equal(got.got.length, 0, "nor before the caller has given up its turn");
    await got.until(10);
  }),

  "9 one publisher's packets arrive in order, over all subjects of a subscription": item(async ({ connect, pair }) => {
    const [a, b] = await pair();
    const other = await connect();
    const root = fresh("order");
    const got = collector();
    b.subscribe(`${root}.>`, got.receive);
    await ready(b);
    for (let n = 0; n < 1_000; n++) {
      a.publish(`${root}.${n % 3}`, String(n));
      if (n % 10 === 0) other.publish(`${root}.other`, `other ${n}`);
    }
    await got.until(1_100);
    assert.deepEqual(texts(got.got).filter((text) => !text.startsWith("other")).map(Number), numbers(1_000));
    assert.deepEqual(texts(got.got).filter((text) => text.startsWith("other")), numbers(100).map((n) => `other ${n * 10}`));
  }),

  "10 nobody's changes to a payload are seen by others, nor are the sender's later ones": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const seen: string[] = [];
    const all = collector();
    for (const by of [a, b, b])
      by.subscribe(subject, (packet) => {
        seen.push(new TextDecoder().decode(packet.data));
        assert.equal(new TextDecoder().decode(packet.view ?? packet.data), packet.text, "a view shows the payload");
        packet.data.fill(0);
        all.receive(packet);
      });
    await ready(a, b);
    const data = bytes("intact");
    a.publish(subject, data);
    data.fill(1);
    a.publish(subject, "of text");
    await all.until(6);
    assert.deepEqual(seen.sort(), ["intact", "intact", "intact", "of text", "of text", "of text"]);
  }),

  "11 a payload is bytes or text, nothing else; an empty one stays empty": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const got = collector();
    b.subscribe(subject, got.receive);
    await ready(b);
    for (const wrong of [null, undefined, 42, {}, [1], new ArrayBuffer(2), true])
      assert.throws(() => a.publish(subject, wrong as never), { code: "BUS_INVALID_PAYLOAD" }, String(wrong));
    a.publish(subject, new Uint8Array());
    a.publish(subject, "");
    a.publish(subject, "grün ✓");
    a.publish(subject, new Uint8Array([0, 255, 10, 13, 0]));
    await passed(a, b);
    assert.deepEqual(got.got.map(({ data }) => [...data]), [[], [], [...bytes("grün ✓")], [0, 255, 10, 13, 0]]);
    assert.deepEqual(got.got.slice(0, 3).map(({ text }) => text), ["", "", "grün ✓"]);
    assert.deepEqual(got.got.map((packet) => packet.bytes), [0, 0, bytes("grün ✓").length, 5]);
    assert.ok(got.got.every(({ data }) => data instanceof Uint8Array));
  }),

  "12 payload and headers beyond the limit are refused in the caller, and nothing is sent": item(async ({ pair }) => {
    const [a, b] = await pair();
    const events = eventsOf(a);
    const subject = fresh();
    const got = collector();
    b.subscribe(subject, got.receive);
    await ready(b);
    const refused = { code: "BUS_PAYLOAD_TOO_LARGE" };
    const headers = { Size: ["much"] };
    const room = a.maxPayloadBytes - headerBytes(headers);
    assert.throws(() => a.publish(subject, new Uint8Array(a.maxPayloadBytes + 1)), refused);
    assert.throws(() => a.publish(subject, "é".repeat(Math.floor(a.maxPayloadBytes / 2) + 1)), refused, "bytes count, not characters");
    assert.throws(() => a.publish(subject, new Uint8Array(room + 1), { headers }), refused);
    a.publish(subject, new Uint8Array(a.maxPayloadBytes));
    a.publish(subject, new Uint8Array(room), { headers });
    a.publish(subject, "small");
    await passed(a, b);
    assert.deepEqual(got.got.map((packet) => packet.bytes), [a.maxPayloadBytes, room, 5]);
    assert.deepEqual([a.status, events], ["connected", []]);
  }),

  "18 a connection hears itself, unless it was opened without echo": item(async ({ connect }) => {
    const [plain, mute, other] = [await connect(), await connect({ echo: false }), await connect()];
    const subject = fresh();
    const all = [collector(), collector(), collector()] as const;
    plain.subscribe(subject, all[0].receive);
    mute.subscribe(subject, all[1].receive);
    other.subscribe(subject, all[2].receive);
    await ready(plain, mute, other);
    plain.publish(subject, "of plain");
    mute.publish(subject, "of mute");
    await passed(plain, plain, mute, other);
    await passed(mute, plain, other);
    assert.deepEqual(all.map(({ got }) => texts(got).sort()), [["of mute", "of plain"], ["of plain"], ["of mute", "of plain"]]);
  }),

  "44 headers keep their case and several values; line ends, and colons in names, are refused": item(async ({ pair }) => {
    const [a, b] = await pair();
    const subject = fresh();
    const got = collector();
    b.subscribe(subject, got.receive);
    await ready(b);
    for (const headers of [{ "a:b": "x" }, { "a b": "x" }, { "": "x" }, { "a\r\nb": "x" }, { a: "x\r\ny: z" }, { a: ["x", "y\n"] }] as HeadersInit[])
      assert.throws(() => a.publish(subject, "bad", { headers }), { code: "BUS_INVALID_HEADER" }, JSON.stringify(headers));
    a.publish(subject, "good", { headers: { "X-Case": "One", "x-case": ["two", "three: colon"], Empty: "" } });
    a.publish(subject, "none");
    await passed(a, b);
    assert.deepEqual(texts(got.got), ["good", "none"]);
    assert.deepEqual({ ...got.got[0]?.headers }, { "X-Case": ["One"], "x-case": ["two", "three: colon"], Empty: [""] });
    assert.deepEqual([got.got[1]?.headers, got.got[1]?.status], [undefined, undefined]);
    // The one thing that a server says in a status line of its own.
    const inbox = collector();
    const reply = `_INBOX.${fresh()}`;
    a.subscribe(reply, inbox.receive);
    await ready(a);
    a.publish(fresh("void"), "?", { reply });
    await inbox.until(1);
    assert.equal(inbox.got[0]?.status?.code, 503);
    assert.equal(typeof inbox.got[0]?.status?.description, "string");
    assert.equal(inbox.got[0]?.bytes, 0);
  }),
};
