import Fastify from "fastify";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UaaError, codes } from "../src/errors.ts";
import { guard as fastifyGuard } from "../src/fastify.ts";
import { bearerToken, guard, refusalFor } from "../src/guard.ts";
import { createValidator, type Validator } from "../src/validator.ts";
import { rsaKey, sign, startIssuer, userClaims, type TestIssuer, type TestKey } from "./fixtures/issuer.ts";

let key: TestKey, uaa: TestIssuer, validator: Validator, unreachable: Validator, good: string, expired: string;
beforeAll(async () => {
  key = await rsaKey("k1");
  uaa = await startIssuer([key]);
  validator = createValidator({ issuer: uaa.issuer, audience: "orders" });
  const down = await startIssuer([]);
  unreachable = createValidator({ issuer: uaa.issuer, keysUrl: `${down.url}/token_keys`, audience: "orders" });
  await down.stop();
  good = await sign(key, userClaims(uaa.issuer));
  expired = await sign(key, userClaims(uaa.issuer, { exp: 1_000_000 }));
});
afterAll(() => uaa?.[Symbol.asyncDispose]());

interface Row { name: string; authorization?: () => string; validator?: () => Validator; scopes?: string[]; status: number; challenge?: RegExp | null }
const rows: Row[] = [
  { name: "no header", status: 401, challenge: /^Bearer realm="UAA\/oauth"$/ },
  { name: "another scheme", authorization: () => "Basic Y2Y6", status: 401, challenge: /^Bearer realm="UAA\/oauth"$/ },
  { name: "Bearer without a token", authorization: () => "Bearer ", status: 401, challenge: /error="invalid_token"/ },
  { name: "two tokens", authorization: () => `Bearer ${good}, Bearer ${good}`, status: 401, challenge: /error="invalid_token"/ },
  { name: "an expired token", authorization: () => `Bearer ${expired}`, status: 401, challenge: /error="invalid_token", error_description="the token expired/ },
  { name: "lacking scope", authorization: () => `Bearer ${good}`, scopes: ["orders.read", "orders.write"], status: 403, challenge: /error="insufficient_scope".*scope="orders.read orders.write"/ },
  { name: "a scope with quotes in it", authorization: () => `Bearer ${good}`, scopes: ['a", x="'], status: 403, challenge: /scope="a', x='"$/ },
  { name: "an unreachable UAA", authorization: () => `Bearer ${good}`, validator: () => unreachable, status: 503 },
  { name: "a good token", authorization: () => `bearer ${good}`, scopes: ["orders.read"], status: 200, challenge: null },
];

describe("Request guard", () => {
  for (const row of rows)
    test(`${row.name}: ${row.status}`, async () => {
      const enter = guard(row.validator?.() ?? validator, row.scopes ? { scopes: row.scopes } : {});
      const headers: Record<string, string> = row.authorization ? { authorization: row.authorization() } : {};
      const result = await enter(new Request("http://orders.example/", { headers }));
      if (row.status === 200) return void expect(result).toMatchObject({ userId: "u-1" });
      const response = result as Response;
      expect(response.status).toBe(row.status);
      if (row.challenge) expect(response.headers.get("www-authenticate")).toMatch(row.challenge);
      if (row.status === 503) expect(response.headers.get("retry-after")).toBe("5");
      const body = (await response.json()) as Record<string, string>;
      expect(body).toMatchObject({ error: expect.any(String), error_description: expect.any(String), code: expect.any(String) });
      expect(JSON.stringify(body)).not.toContain(good.slice(-20));
    });

  test("rejects when the caller left", async () => {
    const request = new Request("http://orders.example/", { headers: { authorization: `Bearer ${good}` }, signal: AbortSignal.abort() });
    await expect(guard(validator)(request)).rejects.toMatchObject({ code: "aborted" });
  });
});

describe("Fastify guard", () => {
  for (const row of rows)
    test(`${row.name}: ${row.status}, over a port`, async () => {
      const app = Fastify();
      app.get("/orders", { onRequest: fastifyGuard(row.validator?.() ?? validator, row.scopes ? { scopes: row.scopes } : {}) }, (request) => ({ user: request.principal.userId }));
      try {
        const address = await app.listen({ port: 0, host: "127.0.0.1" });
        const headers: Record<string, string> = row.authorization ? { authorization: row.authorization() } : {};
        const response = await fetch(`${address}/orders`, { headers });
        expect(response.status).toBe(row.status);
        if (row.challenge) expect(response.headers.get("www-authenticate")).toMatch(row.challenge);
        const body = (await response.json()) as Record<string, string>;
        if (row.status === 200) expect(body).toEqual({ user: "u-1" });
        else expect(body["code"]).toBeTypeOf("string");
      } finally {
        await app.close();
      }
    });

  test("guards a whole scope and nothing beside it", async () => {
    const app = Fastify();
    app.get("/open", () => "open");
    await app.register(async (inner) => {
      inner.addHook("onRequest", fastifyGuard(validator));
      inner.get("/closed", (request) => request.principal.userId);
    });
    const authorization = `Bearer ${good}`;
    expect((await app.inject("/open")).statusCode).toBe(200);
    expect((await app.inject("/closed")).statusCode).toBe(401);
    expect((await app.inject({ url: "/closed", headers: { authorization } })).body).toBe("u-1");
    await app.close();
  });
});

test("every code has an answer, or is thrown on", () => {
  const status = Object.fromEntries(codes.map((code) => {
    try { return [code, refusalFor(new UaaError(code, "why")).status]; } catch { return [code, "thrown"]; }
  }));
  expect(status).toMatchObject({
    missing: 401, malformed: 401, wrong_kind: 401, bad_alg: 401, unknown_key: 401, bad_signature: 401, expired: 401, not_yet_valid: 401,
    wrong_issuer: 401, wrong_audience: 401, wrong_zone: 401, insufficient_scope: 403, keys_unavailable: 503, aborted: "thrown", invalid_options: "thrown",
  });
  expect(() => refusalFor(new TypeError("a bug"))).toThrow(TypeError);
});

test("bearerToken", () => {
  for (const [header, token] of [[null, undefined], [undefined, undefined], ["", undefined], ["Digest x", undefined], ["BEARER  a.b.c ", "a.b.c"], ["bearer x==", "x=="], ["Bearerx", undefined]] as const)
    expect(bearerToken(header)).toBe(token);
  for (const header of ["Bearer", "Bearer a b", "Bearer a,b", 'Bearer "a"', "Bearer ä"]) expect(() => bearerToken(header)).toThrow(UaaError);
});
