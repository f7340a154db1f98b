import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RouterError } from "../../src/errors.ts";
import { parseAllowlist } from "../../src/route-service/allowlist.ts";
import { createSigner } from "../../src/route-service/signature.ts";

describe("signatures of route services", () => {
  const signer = createSigner("my-route-service-secret");

  test("what a router written in Go has signed is opened: key, cipher, encodings and time format agree", () => {
    const signature = "YLw5gU6_2Xj4A4-movAKkQKDl9vDhA5vzxd4GL43BNFiKngaDW4IOINWXMuJrLP5DRPa5PAfqknhe468q1wnFnai0t3yWeScQrMUFvozfmN06P6wtY0cSqJbux6kEk-n9HABQoeqxIVDGdFcF1TnEQv0lyvRDszO0ltorgtdwfYKfmtsOGUhs7zii6ev";
    const metadata = "eyJub25jZSI6IllXSmpaR1ZtWjJocGFtdHMifQ==";
    expect(signer.open(signature, metadata)).toEqual({ forwardedUrl: "https://app.example.com/a?b=1&c=<2>", requestedAtMs: Date.UTC(2026, 0, 2, 2, 4, 5, 678) });
  });

  test("13.91: the previous secret is still accepted, and nothing new is signed with it", () => {
    const signed = { forwardedUrl: "https://a.b/c", requestedAtMs: 1_700_000_000_123 };
    const old = createSigner("old");
    const both = createSigner("new", "old");
    const made = old.sign(signed);
    expect(both.open(made.signature, made.metadata)).toEqual(signed);
    const fresh = both.sign(signed);
    expect(old.open(fresh.signature, fresh.metadata)).toBeUndefined();
    expect(both.open(fresh.signature, fresh.metadata)).toEqual(signed);
  });

  test("any URL comes back as it was; padded as Go wants it", () => {
    fc.assert(fc.property(fc.webUrl({ withQueryParameters: true }), fc.integer({ min: 0, max: 4e12 }), (forwardedUrl, requestedAtMs) => {
      const { signature, metadata } = signer.sign({ forwardedUrl, requestedAtMs });
      expect(signature).toMatch(/^[A-Za-z0-9_-]+={0,2}$/);
      expect([signature.length % 4, metadata.length % 4]).toEqual([0, 0]);
      expect(signer.open(signature, metadata)).toEqual({ forwardedUrl, requestedAtMs });
    }), { numRuns: 200 });
  });

  test("one changed bit, or anything else, is nobody's signature", () => {
    const { signature, metadata } = signer.sign({ forwardedUrl: "https://a.b/", requestedAtMs: 1 });
    const bytes = Buffer.from(signature, "base64url");
    fc.assert(fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
      const forged = Buffer.from(bytes);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(signer.open(forged.toString("base64url"), metadata)).toBeUndefined();
    }), { numRuns: 200 });
    fc.assert(fc.property(fc.string(), fc.option(fc.string(), { nil: undefined }), (one, other) => { expect(signer.open(one, other)).toBeUndefined(); }), { numRuns: 300 });
    for (const bad of [undefined, "", "e30=", Buffer.from("{\"nonce\":\"AA==\"}").toString("base64url"), Buffer.from("null").toString("base64url")]) expect(signer.open(signature, bad)).toBeUndefined();
  });
});

describe("13.94: the list of hosts that may be reached inside", () => {
  for (const [entry, host, allowed] of [
    ["guard.example.com", "guard.example.com", true], ["guard.example.com", "GUARD.Example.com", true], ["Guard.Example.com", "guard.example.com", true],
    ["guard.example.com", "a.guard.example.com", false], ["guard.example.com", "guard.example.org", false], ["guard.example.com", "xguard.example.com", false],
    ["*.example.com", "guard.example.com", true], ["*.example.com", "example.com", false], ["*.example.com", "a.guard.example.com", false],
    ["*.guard.example.com", "a.guard.example.com", true], ["*.guard.example.com", "guard.example.com", false], ["*.example.com", "a.example.com.evil.org", false],
    ["*.EXAMPLE.com", "a.example.COM", true], ["*.example.com", ".example.com", false], ["*.example.com", "aexample.com", false],
  ] as const) test(`${entry} and ${host}: ${allowed ? "yes" : "no"}`, () => { expect(parseAllowlist([entry])(host)).toBe(allowed); });

  for (const bad of ["*", "*.", "**.example.com", "*.*.example.com", "a.*.com", "*example.com", "https://guard.example.com", "guard.example.com/path", "guard.example.com:443", "", "-a.example.com", "a..b", "example", "a b.com"]) {
    test(`${JSON.stringify(bad)} is refused`, () => { expect(() => parseAllowlist([bad])).toThrow(RouterError); });
  }

  test("an empty list allows everything", () => { expect(parseAllowlist([])("any.thing")).toBe(true); });
});
