import { createHmac, createSign } from "node:crypto";
import fc from "fast-check";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UaaError, refusalCodes } from "../src/errors.ts";
import { createValidator, type ValidatorOptions } from "../src/validator.ts";
import { ecKey, handClock, rsaKey, sign, startIssuer, userClaims, type TestIssuer, type TestKey } from "./fixtures/issuer.ts";

let rsa: TestKey, second: TestKey, ec: TestKey, stranger: TestKey, weak: TestKey, uaa: TestIssuer;
const macSecret = "a shared secret of more than thirty-two bytes";
beforeAll(async () => {
  [rsa, second, ec, stranger, weak] = await Promise.all([rsaKey("rsa-1"), rsaKey("rsa-2"), ecKey("ec-1"), rsaKey("rsa-1"), rsaKey("weak", 1024)]);
  uaa = await startIssuer([rsa, second, ec, weak]);
  uaa.keys.push({ kid: "mac", kty: "MAC", alg: "HS256", use: "sig", value: macSecret }, { ...rsa.entry, kid: "enc", use: "enc" });
});
afterAll(() => uaa?.[Symbol.asyncDispose]());

const check = (token: string, more: Partial<ValidatorOptions> = {}) =>
  createValidator({ issuer: uaa.issuer, audience: "orders", ...more }).validate(token);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = (change: Record<string, unknown> = {}) => userClaims(uaa.issuer, change);
const pem = () => rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
const seconds = () => Math.floor(Date.now() / 1000);

/** Signs whatever it is given: jose would refuse to make half of these. */
function rawRs256(header: unknown, body: unknown, key = rsa): string {
  const content = `${part(header)}.${part(body)}`;
  return `${content}.${createSign("sha256").update(content).sign(key.privateKey, "base64url")}`;
}
function rawHs256(header: unknown, body: unknown, secret: string): string {
  const content = `${part(header)}.${part(body)}`;
  return `${content}.${createHmac("sha256", secret).update(content).digest("base64url")}`;
}
const head = (change: Record<string, unknown> = {}) => ({ alg: "RS256", kid: "rsa-1", typ: "JWT", ...change });

type Attack = readonly [name: string, code: string, make: () => string | Promise<string>, options?: () => Partial<ValidatorOptions>];
const attacks: readonly Attack[] = [
  ["alg none, empty signature", "bad_alg", () => `${part(head({ alg: "none" }))}.${part(claims())}.`],
  ["alg None in other letters", "bad_alg", () => `${part(head({ alg: "nOnE" }))}.${part(claims())}.`],
  ["alg none with the signature of another token", "bad_alg", async () => `${part(head({ alg: "none" }))}.${part(claims())}.${(await sign(rsa, claims())).split(".")[2]}`],
  ["no alg", "bad_alg", () => rawRs256({ kid: "rsa-1" }, claims())],
  ["alg as a list", "bad_alg", () => rawRs256(head({ alg: ["RS256"] }), claims())],
  ["empty signature under RS256", "bad_signature", () => `${part(head())}.${part(claims())}.`],
  ["RS/HS confusion: public PEM as HMAC secret", "bad_alg", () => rawHs256(head({ alg: "HS256" }), claims(), pem())],
  ["the same with secrets switched on", "bad_signature", () => rawHs256(head({ alg: "HS256" }), claims(), pem()), () => ({ secrets: [macSecret] })],
  ["HMAC with the published MAC entry", "bad_alg", () => rawHs256(head({ alg: "HS256", kid: "mac" }), claims(), macSecret)],
  ["HMAC under the kid of an RSA key, MAC secret", "bad_alg", () => rawHs256(head({ alg: "HS256" }), claims(), macSecret)],
  ["ES256 named for an RSA key", "bad_alg", async () => new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: "rsa-1" }).sign(ec.privateKey)],
  ["RS512 although the key says RS256", "bad_alg", async () => new SignJWT(claims()).setProtectedHeader({ alg: "RS512", kid: "rsa-1" }).sign(rsa.privateKey)],
  ["an algorithm the options leave out", "bad_alg", () => sign(ec, claims()), () => ({ algorithms: ["RS256"] })],
  ["1024-bit RSA key, although published", "unknown_key", () => rawRs256(head({ kid: "weak" }), claims(), weak)],
  ["encryption key used for a signature", "unknown_key", () => rawRs256(head({ kid: "enc" }), claims())],
  ["own key in header jwk", "bad_signature", () => rawRs256(head({ jwk: stranger.jwk }), claims(), stranger)],
  ["own key in header x5c", "bad_signature", () => rawRs256(head({ x5c: ["MIIB"] }), claims(), stranger)],
  ["stranger's key under our kid", "bad_signature", () => sign(stranger, claims())],
  ["signature of another of our keys", "bad_signature", () => rawRs256(head({ kid: "rsa-2" }), claims())],
  ["unknown kid", "unknown_key", () => rawRs256(head({ kid: "rsa-9" }), claims())],
  ["kid of 10 000 characters", "unknown_key", () => rawRs256(head({ kid: "k".repeat(10_000) }), claims())],
  ["kid that is no string", "malformed", () => rawRs256(head({ kid: 7 }), claims())],
  ["no kid, stranger's key", "bad_signature", () => rawRs256(head({ kid: undefined }), claims(), stranger)],
  ["critical extension", "malformed", () => rawRs256(head({ crit: ["exp"] }), claims())],
  ["unencoded payload", "malformed", () => rawRs256(head({ b64: false, crit: ["b64"] }), claims())],
  ["changed claims", "bad_signature", async () => { const [h, , s] = (await sign(rsa, claims())).split("."); return `${h}.${part(claims({ user_id: "root" }))}.${s}`; }],
  ["refresh token by its jti", "wrong_kind", () => sign(rsa, claims({ jti: "5f0c0a4b-r" }))],
  ["refresh token by granted_scopes", "wrong_kind", () => sign(rsa, claims({ granted_scopes: ["orders.read"] }))],
  ["ID token: no scope", "wrong_kind", () => sign(rsa, claims({ scope: undefined, nonce: "n" }))],
  ["scope of numbers", "wrong_kind", () => sign(rsa, claims({ scope: [1] }))],
  ["no jti", "wrong_kind", () => sign(rsa, claims({ jti: undefined }))],
  ["no client", "wrong_kind", () => sign(rsa, claims({ client_id: undefined, cid: undefined, azp: undefined }))],
  ["logout token by typ", "wrong_kind", () => sign(rsa, claims(), { typ: "logout+jwt" })],
  ["neither user nor subject", "malformed", () => sign(rsa, claims({ sub: undefined, user_id: undefined }))],
  ["aud holds ours as a part", "wrong_audience", () => sign(rsa, claims({ aud: ["orders.read", "my-orders"] }))],
  ["aud as one string holding ours", "wrong_audience", () => sign(rsa, claims({ aud: "orders cf" }))],
  ["no aud", "wrong_audience", () => sign(rsa, claims({ aud: undefined }))],
  ["empty aud", "wrong_audience", () => sign(rsa, claims({ aud: [] }))],
  ["aud nested", "wrong_audience", () => sign(rsa, claims({ aud: [["orders"]] }))],
  ["iss is the base URL", "wrong_issuer", () => sign(rsa, claims({ iss: uaa.url }))],
  ["iss with a slash more", "wrong_issuer", () => sign(rsa, claims({ iss: `${uaa.issuer}/` }))],
  ["iss in capitals", "wrong_issuer", () => sign(rsa, claims({ iss: uaa.issuer.toUpperCase() }))],
  ["iss as a list", "wrong_issuer", () => sign(rsa, claims({ iss: [uaa.issuer] }))],
  ["no iss", "wrong_issuer", () => sign(rsa, claims({ iss: undefined }))],
  ["no exp", "malformed", () => sign(rsa, claims({ exp: undefined }))],
  ["exp as text", "malformed", () => rawRs256(head(), claims({ exp: "9999999999" }))],
  ["exp with a fraction", "malformed", () => rawRs256(head(), claims({ exp: seconds() + 600.5 }))],
  ["exp without end", "malformed", () => rawRs256(head(), claims({ exp: 1e300 }))],
  ["nbf as text", "malformed", () => rawRs256(head(), claims({ nbf: "0" }))],
  ["expired", "expired", () => sign(rsa, claims({ exp: seconds() - 6 }))],
  ["expired a second ago without tolerance", "expired", () => sign(rsa, claims({ exp: seconds() - 1 })), () => ({ clockToleranceSeconds: 0 })],
  ["from the future", "not_yet_valid", () => sign(rsa, claims({ nbf: seconds() + 20 }))],
  ["another zone", "wrong_zone", () => sign(rsa, claims({ zid: "tenant-b" })), () => ({ zone: "uaa" })],
  ["no zone where one is expected", "wrong_zone", () => sign(rsa, claims({ zid: undefined })), () => ({ zone: "uaa" })],
  ["opaque token", "malformed", () => "5f0c0a4b1d7e4a7b9c1e2d3f4a5b6c7d"],
  ["four parts", "malformed", async () => `${await sign(rsa, claims())}.x`],
  ["five parts (encrypted)", "malformed", () => "a.b.c.d.e"],
  ["not base64url", "malformed", async () => (await sign(rsa, claims())).replace(".", "=.")],
  ["header is a list", "malformed", () => `${part([])}.${part(claims())}.AAAA`],
  ["claims are text", "malformed", () => rawRs256(head(), "hello")],
  ["claims are no UTF-8", "malformed", () => `${part(head())}.${Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]).toString("base64url")}.AAAA`],
  ["too long", "malformed", () => `${part(head())}.${part({ pad: "x".repeat(20_000) })}.AAAA`],
  ["nothing", "missing", () => ""],
];

describe("refused", () => {
  for (const [name, code, make, options] of attacks)
    test(`${name}: ${code}`, async () => {
      const error = await check(await make(), options?.()).then(() => undefined, (caught: unknown) => caught);
      expect(error).toBeInstanceOf(UaaError);
      expect(error).toMatchObject({ code });
    });

  test("every refusal code has an attack", () => {
    const seen = new Set<string>([...attacks.map(([, code]) => code), "insufficient_scope"]);
    expect([...refusalCodes].filter((code) => !seen.has(code))).toEqual([]);
  });

  for (const [held, demand] of [
    [["orders.read_x"], { scopes: ["orders.read"] }],
    [["Orders.read"], { scopes: ["orders.read"] }],
    [["orders.*"], { scopes: ["orders.read"] }],
    ["orders.readonly other", { scopes: ["orders.read"] }],
    [["orders.read"], { scopes: ["orders.read", "orders.write"] }],
    [["orders.read"], { anyScope: ["orders.write", "orders.admin"] }],
  ] as const)
    test(`scope ${JSON.stringify(held)} where ${JSON.stringify(demand)} is demanded`, async () => {
      const token = await sign(rsa, claims({ scope: held }));
      const validator = createValidator({ issuer: uaa.issuer, audience: "orders" });
      await expect(validator.validate(token, demand)).rejects.toMatchObject({ code: "insufficient_scope" });
      // The same again from the result cache: scopes are demanded on every call.
      await expect(validator.validate(token, demand)).rejects.toMatchObject({ code: "insufficient_scope" });
      expect(validator.stats().cacheHits).toBe(1);
    });

  test("jku and x5u are never fetched", async () => {
    await using evil = await startIssuer([stranger]);
    const token = rawRs256(head({ jku: `${evil.url}/token_keys`, x5u: `${evil.url}/token_keys` }), claims(), stranger);
    await expect(check(token)).rejects.toMatchObject({ code: "bad_signature" });
    expect(evil.hits.size).toBe(0);
  });

  test("a redirected key document is not followed", async () => {
    await using evil = await startIssuer([stranger]);
    await using front = await startIssuer([]);
    front.on("/token_keys", (_, response) => void response.writeHead(302, { location: `${evil.url}/token_keys` }).end());
    const validator = createValidator({ issuer: front.issuer, audience: "orders" });
    await expect(validator.validate(await sign(stranger, userClaims(front.issuer)))).rejects.toMatchObject({ code: "keys_unavailable" });
    expect(evil.hits.size).toBe(0);
  });

  test("discovery that speaks for another issuer is not believed", async () => {
    await using front = await startIssuer([stranger]);
    const validator = createValidator({ issuer: uaa.issuer, url: front.url, audience: "orders" });
    await expect(validator.validate(await sign(stranger, claims()))).rejects.toMatchObject({ code: "keys_unavailable" });
    expect(front.hits.get("/token_keys")).toBeUndefined();
  });

  test("discovery over https that names keys without TLS is not believed", async () => {
    const validator = createValidator({
      issuer: "https://uaa.invalid/oauth/token", audience: "orders",
      fetch: async (url, init) => url.endsWith("openid-configuration") ? Response.json({ issuer: "https://uaa.invalid/oauth/token", jwks_uri: `${uaa.url}/token_keys` }) : fetch(url, init),
    });
    await expect(validator.validate(await sign(rsa, claims({ iss: "https://uaa.invalid/oauth/token" })))).rejects.toMatchObject({ code: "keys_unavailable" });
  });

  test("remembered results are bounded: the longest unused goes", async () => {
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders", cacheMaxEntries: 2 });
    const [a = "", b = "", c = ""] = await Promise.all(["a", "b", "c"].map((jti) => sign(rsa, claims({ jti }))));
    for (const token of [a, b, a, c]) await validator.validate(token);   // a was used again, so b goes
    expect(validator.stats().cacheHits).toBe(1);
    await validator.validate(a);
    expect(validator.stats().cacheHits).toBe(2);
    await validator.validate(b);
    expect(validator.stats().cacheHits).toBe(2);
  });

  test("a remembered result ends with the token", async () => {
    const clock = handClock();
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders", clock, clockToleranceSeconds: 0 });
    const token = await sign(rsa, claims({ exp: Math.floor(clock.now() / 1000) + 10 }));
    await validator.validate(token);
    clock.advance(9_000);
    await validator.validate(token);
    expect(validator.stats().cacheHits).toBe(1);
    clock.advance(1_001);
    await expect(validator.validate(token)).rejects.toMatchObject({ code: "expired" });
  });

  test("a remembered result ends after a minute", async () => {
    const clock = handClock();
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders", clock, cacheTtlMs: 3_600_000 });
    const token = await sign(rsa, claims());
    await validator.validate(token);
    clock.advance(60_000);
    await validator.validate(token);
    expect(validator.stats().cacheHits).toBe(0);
  });

  test("messages hold no part of the token", async () => {
    for (const [, , make, options] of attacks) {
      const token = await make();
      const error = (await check(token, options?.()).catch((caught: unknown) => caught)) as Error;
      for (const piece of token.split(".").filter((one) => one.length > 8)) expect(error.message).not.toContain(piece);
    }
  });
});

describe("accepted, because the rule says so", () => {
  for (const [name, make, options] of [
    ["aud as one string", () => sign(rsa, claims({ aud: "orders" })), {}],
    ["scope as one string", () => sign(rsa, claims({ scope: "openid orders.read" })), {}],
    ["no kid: the fitting key is found", () => rawRs256(head({ kid: undefined }), claims(), second), {}],
    ["no typ", () => rawRs256(head({ typ: undefined }), claims()), {}],
    ["typ at+jwt", () => rawRs256(head({ typ: "at+JWT" }), claims()), {}],
    ["expired four seconds ago", () => sign(rsa, claims({ exp: seconds() - 3 })), {}],
    ["nbf in three seconds", () => sign(rsa, claims({ nbf: seconds() + 3 })), {}],
    ["an explicit secret", () => rawHs256(head({ alg: "HS256", kid: "legacy-token-key" }), claims(), macSecret), { secrets: ["another secret, the next one, 32 bytes long", macSecret] }],
    ["the expected zone", () => sign(rsa, claims()), { zone: "uaa" }],
    ["one of several issuers", () => sign(rsa, claims({ iss: "https://old/oauth/token" })), { issuer: ["https://old/oauth/token"], keysUrl: "" }],
  ] as const)
    test(name, async () => {
      const given: Partial<ValidatorOptions> = "keysUrl" in options ? { ...options, keysUrl: `${uaa.url}/token_keys` } : options;
      expect((await check(await make(), given)).userId).toBe("u-1");
    });
});

describe("properties", () => {
  test("one changed character anywhere never passes", async () => {
    const token = await sign(rsa, claims());
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders" });
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    await fc.assert(fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...alphabet), async (at, letter) => {
      fc.pre(token[at] !== letter);
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      // The last character of a part holds bits that base64 ignores; the bytes, and so the signature, may be the same.
      fc.pre(changed.split(".").some((one, i) => !Buffer.from(one, "base64url").equals(Buffer.from(token.split(".")[i] ?? "", "base64url"))));
      await expect(validator.validate(changed)).rejects.toBeInstanceOf(UaaError);
    }), { numRuns: 150 });
  });

  test("whatever text comes, the answer is a refusal and no other error", async () => {
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders" });
    await fc.assert(fc.asyncProperty(fc.oneof(fc.string(), fc.tuple(fc.json(), fc.json(), fc.base64String()).map(([h, c, s]) =>
      `${Buffer.from(h).toString("base64url")}.${Buffer.from(c).toString("base64url")}.${s.replace(/[+/=]/g, "")}`)), async (text) => {
      await expect(validator.validate(text)).rejects.toBeInstanceOf(UaaError);
    }), { numRuns: 150 });
  });

  test("whatever claims a signed token holds, it is a principal with our audience or a refusal", async () => {
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders" });
    const odd = fc.dictionary(fc.constantFrom("jti", "aud", "iss", "exp", "nbf", "scope", "user_id", "client_id", "sub", "zid", "grant_type", "granted_scopes"), fc.jsonValue(), { maxKeys: 3 });
    await fc.assert(fc.asyncProperty(odd, async (change) => {
      const body = { ...claims(), ...change };
      const result = await validator.validate(rawRs256(head(), body)).catch((error: unknown) => error);
      if (result instanceof Error) expect(result).toBeInstanceOf(UaaError);
      else {
        expect([body["aud"]].flat()).toContain("orders");
        expect(body["iss"]).toBe(uaa.issuer);
      }
    }), { numRuns: 80 });
  });
});
