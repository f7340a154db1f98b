import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openSslCiphers } from "../../src/config/ciphers.ts";
import { distinguishedName } from "../../src/config/subjects.ts";
import { BadValue, duration, listOf, oneOf, oneOrMore, portNumber, shape, text, wholeFrom } from "../../src/config/value.ts";

describe("durations as Go writes them", () => {
  for (const [given, ms] of [["20s", 20_000], ["1m30s", 90_000], ["250ms", 250], ["1.5h", 5_400_000], [".5s", 500], ["100us", 1], ["1ns", 1], ["0", 0], [0, 0], ["0s", 0], ["1h0m0s", 3_600_000], ["1500µs", 2]] as const) {
    test(`${given}: ${ms} ms`, () => { expect(duration(given)).toBe(ms); });
  }

  for (const bad of ["", "20", 20, "20 s", "s", "-5s", "1d", "1m30", "1e3s", null, {}, "1..5s", "999999h"]) {
    test(`${JSON.stringify(bad)} is none`, () => { expect(() => duration(bad)).toThrow(BadValue); });
  }

  test("whole numbers of every unit, in any mixture", () => {
    fc.assert(fc.property(fc.nat(99), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
      expect(duration(`${h}h${m}m${s}s${ms}ms`)).toBe(((h * 60 + m) * 60 + s) * 1_000 + ms);
    }));
  });
});

test("a bad value says where it is and what was expected, never what stood there", () => {
  const read = listOf(shape<{ name: string; value?: string }>({ name: text, value: text }, ["value"]));
  expect(read([{ name: "a" }, { name: "b", value: "c" }])).toEqual([{ name: "a" }, { name: "b", value: "c" }]);
  for (const [given, where, said] of [
    ["x", "", "expected a list"], [[3], "[0]", "expected a mapping with name, value"], [[{ name: "a" }, { value: "secret" }], "[1].name", "expected a value"],
    [[{ name: 7 }], "[0].name", "expected a text"], [[{ name: "a", other: 1 }], "[0].other", "expected no key but name, value"],
  ] as const) {
    try { read(given); throw new Error("taken"); } catch (error) {
      expect([(error as BadValue).where, (error as BadValue).message]).toEqual([where, said]);
    }
  }
});

test("numbers and words", () => {
  expect([portNumber(0), portNumber(65_535), wholeFrom(1)(1), oneOf("a", "b")("b"), oneOrMore(text)("x"), oneOrMore(text)(["x", "y"])]).toEqual([0, 65_535, 1, "b", ["x"], ["x", "y"]]);
  for (const bad of [-1, 65_536, 1.5, "80", null, Number.NaN]) expect(() => portNumber(bad)).toThrow(BadValue);
  expect(() => oneOf("a", "b")("c")).toThrow("expected one of a, b");
});

test("cipher suites by either of their names", () => {
  expect(openSslCiphers("ECDHE-RSA-AES128-GCM-SHA256:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")).toBe("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384");
  expect(openSslCiphers("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA TLS_AES_128_GCM_SHA256")).toBe("ECDHE-ECDSA-CHACHA20-POLY1305:AES128-SHA:TLS_AES_128_GCM_SHA256");
});

test("distinguished names", () => {
  expect(distinguishedName({ common_name: "client", organization: ["a", "b"], country: ["DE"], locality: [] })).toEqual({ CN: "client", O: ["a", "b"], C: "DE" });
  expect(() => distinguishedName({ cn: "x" })).toThrow(BadValue);
  expect(() => distinguishedName("CN=x")).toThrow(BadValue);
});
