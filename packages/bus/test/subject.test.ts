import fc from "fast-check";
import { expect, test } from "vitest";
import { isSubject, matches } from "@opencf/bus";
import { fillPattern, fillSubject, readParams } from "../src/subject.ts";

test.each([
  ["a.b", "a.b", true], ["a.*", "a.b", true], ["a.*", "a", false], ["a.*", "a.b.c", false], ["a.>", "a", false],
  ["a.>", "a.b.c", true], [">", "a", true], ["*.b", "a.b", true], ["A", "a", false], ["a.*.c", "a.b.c", true],
])("%s reaches %s: %s", (pattern, subject, reached) => expect(matches(pattern, subject)).toBe(reached));

const token = fc.stringMatching(/^[a-zA-Z0-9_-]{1,8}$/);
const subject = fc.array(token, { minLength: 1, maxLength: 6 }).map((tokens) => tokens.join("."));

test("a subject matches itself, itself with one token starred, and every prefix with >", () =>
  fc.assert(fc.property(subject, fc.nat(5), (given, at) => {
    const tokens = given.split(".");
    const starred = tokens.map((each, i) => (i === at % tokens.length ? "*" : each)).join(".");
    expect(isSubject(given)).toBe(true);
    expect(matches(given, given) && matches(starred, given) && matches(">", given)).toBe(true);
    if (tokens.length > 1) expect(matches([...tokens.slice(0, -1), ">"].join("."), given)).toBe(true);
  })));

test("what fills a template is read back from the subject", () =>
  fc.assert(fc.property(token, (id) => {
    expect(readParams("dea.{id}.start", fillSubject("dea.{id}.start", { id }))).toEqual({ id });
  })));

test.each(["a.b", "*", ">", "a b", ""])("a template value %j is refused", (id) =>
  expect(() => fillSubject("dea.{id}.start", { id })).toThrow(/one token/));
test("a missing value is a wildcard for who listens, a mistake of who speaks", () => {
  expect(fillPattern("dea.{id}.start")).toBe("dea.*.start");
  expect(() => fillSubject("dea.{id}.start")).toThrow(/needs a value/);
});
