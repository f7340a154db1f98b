import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createValidator } from "../src/validator.ts";
import { UaaError } from "../src/errors.ts";
import { ecKey, edKey, rsaKey, sign, startIssuer, userClaims, type TestIssuer, type TestKey } from "./fixtures/issuer.ts";

let rsa: TestKey, ec: TestKey, ed: TestKey, uaa: TestIssuer;
beforeAll(async () => {
  [rsa, ec, ed] = await Promise.all([rsaKey("rsa-1"), ecKey("ec-1"), edKey("ed-1")]);
  uaa = await startIssuer([rsa, ec, ed]);
});
afterAll(() => uaa?.[Symbol.asyncDispose]());

const validator = () => createValidator({ issuer: uaa.issuer, audience: "orders" });

describe("a good token", () => {
  test("of a user gives a user", async () => {
    const who = await validator().validate(await sign(rsa, userClaims(uaa.issuer)));
    expect(who).toMatchObject({ kind: "user", userId: "u-1", userName: "ann", email: "ann@example.org", origin: "uaa", clientId: "cf", jti: "5f0c0a4b1d7e4a7b9c1e2d3f4a5b6c7d", zone: "uaa" });
    expect(who.hasScope("orders.read")).toBe(true);
    expect(who.hasScope("orders.rea")).toBe(false);
    expect(who.expiresAt.getTime()).toBeGreaterThan(Date.now());
    expect(who.claims["rev_sig"]).toBe("9a1b2c3d");
  });

  test("of a client gives a client, even with a user's id in it", async () => {
    const claims = userClaims(uaa.issuer, { grant_type: "client_credentials", sub: "batch", client_id: "batch", user_id: "u-1" });
    const who = await validator().validate(await sign(rsa, claims));
    expect(who).toMatchObject({ kind: "client", userId: undefined, clientId: "batch" });
  });

  test("without optional claims still names the user by its subject", async () => {
    const bare = userClaims(uaa.issuer, { user_id: undefined, user_name: undefined, email: undefined, origin: undefined, cid: undefined, azp: undefined, grant_type: undefined, sub: "u-9" });
    expect(await validator().validate(await sign(rsa, bare))).toMatchObject({ kind: "user", userId: "u-9", userName: undefined });
  });

  for (const [name, key] of [["RS256", () => rsa], ["ES256", () => ec], ["EdDSA", () => ed]] as const)
    test(`signed with ${name}`, async () => {
      expect((await validator().validate(await sign(key(), userClaims(uaa.issuer)))).kind).toBe("user");
    });

  test("cannot be changed by whoever gets it", async () => {
    const who = await validator().validate(await sign(rsa, userClaims(uaa.issuer)));
    expect(() => (who.claims["scope"] as string[]).push("cloud_controller.admin")).toThrow(TypeError);
    expect(() => Object.assign(who, { userId: "u-2" })).toThrow(TypeError);
  });

  test("is found with the address alone: the issuer comes from discovery", async () => {
    const open = createValidator({ url: uaa.url, audience: "orders" });
    expect((await open.validate(await sign(rsa, userClaims(uaa.issuer)))).kind).toBe("user");
    await expect(open.validate(await sign(rsa, userClaims(uaa.url)))).rejects.toMatchObject({ code: "wrong_issuer" });
  });

  test("is checked through an injected fetch that knows another address", async () => {
    const asked: string[] = [];
    const away = createValidator({
      issuer: "http://uaa.cf.invalid/oauth/token", audience: "orders", keysUrl: "http://uaa.cf.invalid/token_keys",
      fetch: (url, init) => { asked.push(url); return fetch(url.replace("http://uaa.cf.invalid", uaa.url), init); },
    });
    expect((await away.validate(await sign(rsa, userClaims("http://uaa.cf.invalid/oauth/token")))).kind).toBe("user");
    expect(asked).toEqual(["http://uaa.cf.invalid/token_keys"]);
  });

  test("is verified once and then remembered", async () => {
    const one = validator();
    const token = await sign(rsa, userClaims(uaa.issuer));
    await one.validate(token);
    await one.validate(token);
    expect(one.stats()).toMatchObject({ accepted: 2, cacheHits: 1, keyFetches: 1 });
  });
});

test("options that cannot work are refused at once", () => {
  for (const [options, words] of [
    [{ issuer: "https://u/oauth/token" }, /audience/],
    [{ audience: "orders" }, /issuer or url/],
    [{ issuer: "https://u/oauth/token", audience: [] }, /audience/],
    [{ issuer: "https://u/oauth/token", audience: "a", clockToleranceSeconds: 61 }, /between 0 and 60/],
    [{ issuer: "https://u/oauth/token", audience: "a", clockToleranceSeconds: Number.NaN }, /between 0 and 60/],
    [{ issuer: "nonsense", audience: "a" }, /not an http/],
    [{ issuer: "https://u/oauth/token", audience: "a", keysUrl: "file:///etc/passwd" }, /not an http/],
    [{ issuer: "https://u/oauth/token", audience: "a", keysUrl: "https://me:secret@u/keys" }, /credentials/],
    [{ issuer: "https://u/oauth/token", audience: "a", secrets: ["short"] }, /32 bytes/],
    [{ audience: "a", keys: [] }, /issuer/],
  ] as const) {
    let caught: unknown;
    try { createValidator(options as never); } catch (error) { caught = error; }
    expect(caught).toBeInstanceOf(UaaError);
    expect(caught).toMatchObject({ code: "invalid_options" });
    expect((caught as Error).message).toMatch(words);
  }
});
