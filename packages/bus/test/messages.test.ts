import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BusError, type Format } from "@opencf/bus";
import { catalogue, findMessage } from "@opencf/bus/catalogue";
import * as messages from "@opencf/bus/messages";
import { roles } from "@opencf/bus/permissions";
import type { AnyMessage } from "../src/schema.ts";
import { arbitraryOf, type Schema } from "./fixtures/arbitrary.ts";
import { samples } from "./fixtures/wire-samples.ts";

const formats = catalogue.flatMap(({ subject, body, reply }) => [
  { name: subject, format: body as Format<unknown> },
  ...(reply ? [{ name: `${subject} (answer)`, format: reply as Format<unknown> }] : []),
]);
/** The value as a peer of any age would write it: encoding checks today's shape only. */
const written = ({ codec }: Format<unknown>, value: unknown): Uint8Array | string =>
  codec === "none" ? "" : codec === "text" ? (value as string) : codec === "zlib" ? deflateSync(JSON.stringify(value)) : JSON.stringify(value);
const bytes = (data: Uint8Array | string): Uint8Array => (typeof data === "string" ? new TextEncoder().encode(data) : data);
/** As it is after a journey over the wire: no undefined, no negative zero. */
const settled = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("catalogue", () => {
  test("has every declared message, once", () => {
    const declared = Object.values(messages).filter((each) => typeof each === "object" && "subject" in each);
    expect(new Set(catalogue)).toEqual(new Set(declared as AnyMessage[]));
    expect(new Set(catalogue.map(({ subject }) => subject)).size).toBe(catalogue.length);
  });

  test.each(catalogue.map((message) => [message.subject, message] as const))("%s says who speaks and listens, and since when", (subject, { from, to, era, lane, id, onDisconnect, reply, body }) => {
    for (const each of [...from, ...to]) expect(roles).toContain(each);
    expect(from.length > 0 && to.length > 0).toBe(true);
    expect(era).toMatch(/^(v1|v2[abc])(-(v1|v2[abc]))?$|^opencf$/);
    const fields = Object.keys((body.schema as Schema).properties ?? {});
    if (id !== undefined) expect(fields).toContain(id);
    if (onDisconnect.kind === "latest-per-key") for (const key of onDisconnect.key) expect(fields).toContain(key);
    // A question that comes back to life after a pause would be answered to nobody.
    if (reply) expect(onDisconnect.kind).toBe("drop");
    // Commands never wait behind statistics.
    if (/start$|stop$|exited$|heartbeat$|advertise$|register$/.test(subject)) expect(lane).toBe("control");
  });

  test.each([
    ["dea.discover", "dea.discover"], ["MysqlaaS.discover", "{service}.discover"], ["dea.7.start", "dea.{id}.start"], ["dea.start", "dea.start"], ["staging.x.start", "staging.{id}.start"],
    ["diego.staging.start", "diego.staging.start"], ["vcap.component.discover", "vcap.component.discover"], ["cloudcontrollers.hm.requests.p1", "cloudcontrollers.hm.requests.{partition}"],
    ["staging", "staging"], ["RedisaaS.provision.redis_node_0", "{service}.provision.{node}"], ["router.nothing", undefined], ["dea..start", undefined], ["", undefined], [".discover", undefined],
    ["dea.7.start.x", undefined], ["__proto__", undefined], ["constructor.x", undefined], ["_INBOX.a.b", undefined],
  ])("%s is %s", (subject, expected) => expect(findMessage(subject)?.subject).toBe(expected));

  test("every message is found by a subject made from its own template", () => {
    for (const message of catalogue) expect(findMessage(message.subject.replace(/\{\w+\}/g, "x1"))).toBe(message);
  });
});

describe("samples of peers of all ages", () => {
  test("there are some for every message", () => {
    expect(Object.keys(samples).sort()).toEqual(catalogue.map(({ subject }) => subject).sort());
    for (const { subject, reply, body } of catalogue) {
      expect([subject, samples[subject]?.reply !== undefined]).toEqual([subject, reply !== undefined]);
      if (body.older === undefined) expect([subject, samples[subject]?.older]).toEqual([subject, undefined]);
      if (reply?.older === undefined) expect([subject, samples[subject]?.olderReply]).toEqual([subject, undefined]);
    }
  });

  const cases = catalogue.flatMap(({ subject, body, reply }) => [
    ...(samples[subject]?.body ?? []).map((sample) => ({ subject, format: body as Format<unknown>, sample, becomes: sample })),
    ...(samples[subject]?.older ?? []).map((each) => ({ subject, format: body as Format<unknown>, sample: each.body, becomes: each.becomes })),
    ...(samples[subject]?.reply ?? []).map((sample) => ({ subject, format: reply as Format<unknown>, sample, becomes: sample })),
    ...(samples[subject]?.olderReply ?? []).map((each) => ({ subject, format: reply as Format<unknown>, sample: each.body, becomes: each.becomes })),
  ]);
  test.each(cases)("$subject #$#", ({ format, sample, becomes }) => {
    expect(format.parse(written(format, sample))).toEqual({ ok: true, body: becomes });
    expect(format.parse(bytes(written(format, sample)))).toEqual({ ok: true, body: becomes });
    // What was understood can be said, and is understood again as the same.
    expect(format.parse(format.encode(becomes))).toEqual({ ok: true, body: becomes });
  });

  test("a stop whose filter is not understood is refused, never taken for all instances", () => {
    for (const ids of ["x", 7, { 0: "x" }, [1], true])
      for (const rest of [{}, { instances: ["a"] }, { instances: "a" }])
        expect(messages.deaStop.body.parse(JSON.stringify({ droplet: "app", ...rest, instance_ids: ids })).ok).toBe(false);
    expect(messages.deaStop.body.parse(JSON.stringify({ droplet: "app", instance_ids: [] }))).toEqual({ ok: true, body: { droplet: "app", instances: [] } });
  });
});

describe.each(formats)("fuzz: $name", ({ format }) => {
  const schema = format.schema as Schema;
  const verdict = (data: Uint8Array | string): void => {
    const parsed = format.parse(data);
    if (!parsed.ok) expect(parsed.issues.length).toBeGreaterThan(0);
  };

  test("no bytes, text or JSON make it throw", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), verdict), { numRuns: 60 });
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 32 }), verdict), { numRuns: 60 });
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => verdict(written({ ...format, codec: format.codec === "zlib" ? "zlib" : "json" }, value))), { numRuns: 100 });
    verdict("[".repeat(100_000));
    verdict(`{"a":${"[".repeat(100_000)}`);
  });

  test("JSON of nearly the right shape does not make it throw", () => {
    const names = Object.keys(schema.properties ?? {});
    if (names.length === 0) return;
    const odd = fc.record(Object.fromEntries([...names, "instance_ids"].map((name) => [name, fc.jsonValue({ maxDepth: 3 })])), { requiredKeys: [] });
    fc.assert(fc.property(odd, (value) => verdict(written(format, value))), { numRuns: 100 });
  });

  test("what is valid arrives as it was sent, with the fields of newer peers", () => {
    const there = (value: unknown): void => {
      const sent = format.codec === "none" ? {} : settled(value);
      expect(format.parse(format.encode(value))).toStrictEqual({ ok: true, body: sent });
      expect(format.parse(bytes(format.encode(value)))).toStrictEqual({ ok: true, body: sent });
    };
    fc.assert(fc.property(arbitraryOf(schema), there), { numRuns: 60 });
    fc.assert(fc.property(arbitraryOf(schema, fc.jsonValue({ maxDepth: 2 })), there), { numRuns: 60 });
  });

  test("what is not valid is refused with one kind of error that tells no values", () => {
    const secret = "hunter2-swordfish";
    const refused = (value: unknown): void => {
      try {
        format.encode(value);
      } catch (error) {
        expect(error).toBeInstanceOf(BusError);
        expect((error as BusError).code).toBe("BUS_INVALID_MESSAGE");
        expect((error as BusError).message).not.toContain(secret);
        return;
      }
      // What was taken is valid: it can be read again.
      expect(format.parse(format.encode(value)).ok).toBe(true);
    };
    fc.assert(fc.property(fc.anything({ withBigInt: true, withMap: true, withTypedArray: true, withNullPrototype: true }), refused), { numRuns: 100 });
    const names = Object.keys(schema.properties ?? {});
    for (const wrong of [secret, [secret], { [secret.toUpperCase()]: secret }, [[{ x: secret }]]]) {
      refused(wrong);
      for (const name of names) refused({ ...(fc.sample(arbitraryOf(schema), { numRuns: 1, seed: 1 })[0] as object), [name]: wrong });
    }
    const round: Record<string, unknown> = {};
    round["round"] = round;
    for (const unspeakable of [round, { big: 1n }, undefined, () => 0, Symbol("x")]) refused(unspeakable);
  });
});
