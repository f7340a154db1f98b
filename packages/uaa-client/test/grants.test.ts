import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeEach, beforeAll, describe, expect, test } from "vitest";
import { createGrantClient } from "../src/grants.ts";
import { createTokenSource } from "../src/token-source.ts";
import { UaaError } from "../src/errors.ts";
import { handClock, startIssuer, type TestIssuer } from "./fixtures/issuer.ts";

let uaa: TestIssuer;
let asked: { headers: IncomingHttpHeaders; form: URLSearchParams }[] = [];
let answer: (form: URLSearchParams) => [number, unknown] | Promise<[number, unknown]>;
const good = (n: number, expiresIn = 600) => ({ access_token: `t${n}`, token_type: "bearer", expires_in: expiresIn, scope: "a b", jti: `j${n}` });
beforeAll(async () => {
  uaa = await startIssuer([]);
  uaa.on("/oauth/token", async (request, response, body) => {
    const form = new URLSearchParams(body);
    asked.push({ headers: request.headers, form });
    const [status, value] = await answer(form);
    response.writeHead(status, { "content-type": "application/json" }).end(typeof value === "string" ? value : JSON.stringify(value));
  });
});
afterAll(() => uaa?.[Symbol.asyncDispose]());
beforeEach(() => { asked = []; answer = () => [200, { ...good(asked.length), refresh_token: "r1-r" }]; });

const client = (more: object = {}) => createGrantClient({ url: `${uaa.url}/`, clientId: "batch", clientSecret: "s+c r%t:ä", ...more });

describe("grants", () => {
  test("client credentials: Basic with encoded parts, scopes joined", async () => {
    const tokens = await client().clientCredentials({ scopes: ["a", "b"] });
    expect(tokens).toMatchObject({ accessToken: "t1", jti: "j1" });
    expect([...tokens.scopes]).toEqual(["a", "b"]);
    expect(Math.abs(tokens.expiresAt.getTime() - Date.now() - 600_000)).toBeLessThan(5_000);
    expect(Object.fromEntries(asked[0]!.form)).toEqual({ grant_type: "client_credentials", scope: "a b" });
    const basic = Buffer.from(asked[0]!.headers.authorization!.slice(6), "base64").toString();
    expect(basic).toBe("batch:s%2Bc+r%25t%3A%C3%A4");
    expect(asked[0]!.headers["x-cf-encoded-credentials"]).toBe("true");
  });

  test("client credentials in the body", async () => {
    await client({ clientAuth: "body" }).clientCredentials();
    expect(Object.fromEntries(asked[0]!.form)).toEqual({ grant_type: "client_credentials", client_id: "batch", client_secret: "s+c r%t:ä" });
    expect(asked[0]!.headers.authorization).toBeUndefined();
  });

  test("password, passcode and refresh", async () => {
    const grants = client();
    await grants.password({ username: "ann", password: "p&=w", origin: "ldap" });
    await grants.passcode("c0de");
    await grants.refresh("r1-r", { scopes: ["a"] });
    expect(asked.map(({ form }) => Object.fromEntries(form))).toEqual([
      { grant_type: "password", username: "ann", password: "p&=w", login_hint: '{"origin":"ldap"}' },
      { grant_type: "password", passcode: "c0de" },
      { grant_type: "refresh_token", refresh_token: "r1-r", scope: "a" },
    ]);
  });

  for (const [name, reply, expected] of [
    ["wrong client", [401, { error: "invalid_client", error_description: "Bad credentials" }], { code: "grant_refused", oauthError: "invalid_client", status: 401, retryable: false }],
    ["wrong password", [401, { error: "unauthorized", error_description: "Bad credentials" }], { code: "grant_refused", oauthError: "unauthorized" }],
    ["old refresh token", [400, { error: "invalid_grant" }], { code: "grant_refused", oauthError: "invalid_grant" }],
    ["too many", [429, "slow down"], { code: "uaa_unavailable", retryable: true, status: 429 }],
    ["server error", [500, { error: "server_error" }], { code: "uaa_unavailable", retryable: true }],
    ["a page", [200, "<html>"], { code: "bad_response" }],
    ["a page with 404", [404, "<html>"], { code: "bad_response", status: 404 }],
    ["no expires_in", [200, { access_token: "t" }], { code: "bad_response" }],
    ["a null token", [200, { access_token: null, expires_in: 1 }], { code: "bad_response" }],
  ] as const)
    test(`${name}: ${expected.code}`, async () => {
      answer = () => [reply[0], reply[1]];
      const error = await client().password({ username: "ann", password: "hunter2secret" }).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(UaaError);
      expect(error).toMatchObject(expected);
      expect(String(error)).not.toContain("hunter2secret");
    });

  test("a redirect is not followed with the credentials", async () => {
    await using other = await startIssuer([]);
    other.on("/oauth/token", (_, response) => void response.writeHead(307, { location: `${uaa.url}/oauth/token` }).end());
    await expect(createGrantClient({ url: other.url, clientId: "cf" }).clientCredentials()).rejects.toMatchObject({ code: "bad_response" });
    expect(asked).toEqual([]);
  });

  test("silence, absence and a caller who leaves", async () => {
    answer = () => new Promise(() => {});
    await expect(client({ timeoutMs: 80 }).clientCredentials()).rejects.toMatchObject({ code: "uaa_unavailable", retryable: true });
    await expect(client().clientCredentials({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ code: "aborted" });
    const gone = await startIssuer([]);
    await gone.stop();
    await expect(createGrantClient({ url: gone.url, clientId: "cf" }).clientCredentials()).rejects.toMatchObject({ code: "uaa_unavailable" });
  });

  test("addresses that cannot be", () => {
    for (const url of ["nonsense", "ftp://x", "http://me:pw@x"]) expect(() => createGrantClient({ url, clientId: "cf" })).toThrow(UaaError);
    expect(() => createGrantClient({ url: uaa.url, clientId: "" })).toThrow(/clientId/);
  });
});

describe("token source", () => {
  const sourceOf = (more: object = {}) => {
    const clock = handClock();
    const grants = client({ clock });
    return { clock, grants, source: createTokenSource({ get: ({ signal }) => grants.clientCredentials({ signal }), clock, ...more }) };
  };
  const settled = async (count: number) => {
    const end = Date.now() + 10_000;
    while (asked.length < count && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(asked.length).toBe(count);
  };

  test("fifty callers, one request; then none until shortly before the end", async () => {
    const { clock, source } = sourceOf();
    expect(new Set(await Promise.all(Array.from({ length: 50 }, () => source.token())))).toEqual(new Set(["t1"]));
    clock.advance(539_000);
    expect(await source.token()).toBe("t1");
    expect(asked.length).toBe(1);
    clock.advance(2_000);
    expect(await source.token()).toBe("t1");   // the old one still serves
    await settled(2);
    const end = Date.now() + 10_000;
    while ((await source.token()) !== "t2" && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await source.token()).toBe("t2");
    expect(asked.length).toBe(2);
  });

  test("a short token is renewed after four fifths of its life, not at once", async () => {
    answer = () => [200, good(asked.length, 10)];
    const { clock, source } = sourceOf();
    await source.token();
    clock.advance(7_000);
    await source.token();
    expect(asked.length).toBe(1);
    clock.advance(1_500);
    await source.token();
    await settled(2);
  });

  test("while the UAA is down the token serves to its end, and attempts back off", async () => {
    const { clock, source } = sourceOf();
    await source.token();
    answer = () => [503, "down"];
    clock.advance(545_000);
    for (let i = 0; i < 20; i += 1) expect(await source.token()).toBe("t1");
    await settled(2);
    clock.advance(60_000);
    await expect(source.token()).rejects.toMatchObject({ code: "uaa_unavailable" });
    const tries = asked.length;
    for (let i = 0; i < 20; i += 1) await expect(source.token()).rejects.toMatchObject({ code: "uaa_unavailable" });
    expect(asked.length).toBe(tries);
    answer = () => [200, good(99)];
    clock.advance(30_000);
    expect(await source.token()).toBe("t99");
  });

  test("refreshes where it can, and logs in again when the refresh token is refused", async () => {
    const clock = handClock();
    const grants = client({ clock });
    const source = createTokenSource({
      get: ({ signal }) => grants.password({ username: "ann", password: "pw", signal }),
      refresh: (token, { signal }) => grants.refresh(token, { signal }), clock,
    });
    await source.token();
    clock.advance(600_000);
    await source.token();
    answer = (form) => form.get("grant_type") === "refresh_token" ? [400, { error: "invalid_grant" }] : [200, good(7)];
    clock.advance(600_000);
    expect(await source.token()).toBe("t7");
    expect(asked.map(({ form }) => form.get("grant_type"))).toEqual(["password", "refresh_token", "refresh_token", "password"]);
  });

  test("a refused token is replaced, once", async () => {
    const { source } = sourceOf();
    await source.token();
    source.invalidate("t0");
    expect(await source.token()).toBe("t1");
    source.invalidate("t1");
    expect(await Promise.all([source.token(), source.token()])).toEqual(["t2", "t2"]);
    source.invalidate("t1");
    expect(await source.token()).toBe("t2");
  });

  test("closing it ends what is under way; twice is quiet", async () => {
    answer = () => new Promise(() => {});
    const { source } = sourceOf();
    const waiting = source.token();
    await settled(1);
    source[Symbol.dispose]();
    source[Symbol.dispose]();
    await expect(waiting).rejects.toMatchObject({ code: "aborted" });
    await expect(source.token()).rejects.toMatchObject({ code: "aborted" });
  });
});
