import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { defaultSteps, respondFault, type RouteOptions } from "../../src/index.ts";
import { echo, httpBackend, misbehaving, type HttpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

/** Registers endpoints under two routes: `mine.example.com` with options, `app.example.com` without. */
function serve(r: Rig, apps: readonly { host: string; port: number }[], options: RouteOptions): void {
  apps.forEach(({ host, port }, index) => {
    r.router.table.register("mine.example.com", { host, port, instanceId: `i-${index}` }, options);
    r.router.table.register("app.example.com", { host, port, instanceId: `i-${index}` });
  });
}
const mine = { host: "mine.example.com" };

/** An app that answers when told. */
async function patient(): Promise<HttpBackend & { answer(): void }> {
  const waiting: (() => void)[] = [];
  const app = await httpBackend((request, response) => void waiting.push(() => response.end(request.url)));
  return { ...app, answer: () => waiting.shift()?.() };
}

describe("options of a route, beside one that says nothing", () => {
  test("connections per endpoint", async () => {
    await using app = await patient();
    await using r = await rig();
    serve(r, [app], { maxConnectionsPerEndpoint: 1 });
    const held = [ask(r.port, mine), ask(r.port)];
    await eventually(() => app.requests.length === 2);
    const refused = await ask(r.port, mine);
    expect([refused.status, refused.headers["x-cf-routererror"], refused.headers["cache-control"]]).toEqual([503, "Connection Limit Reached", undefined]);
    held.push(ask(r.port));
    await eventually(() => app.requests.length === 3);
    for (let n = 0; n < 3; n += 1) app.answer();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  test("attempts", async () => {
    await using one = await misbehaving.refuses();
    await using other = await misbehaving.refuses();
    await using r = await rig();
    serve(r, [one, other], { maxAttempts: 1 });
    for (const asked of [mine, {}]) await ask(r.port, asked);
    await eventually(() => r.records.length === 2);
    expect(r.records.map(({ attempts }) => attempts)).toEqual([1, 2]);
  });

  test("methods that may be repeated, never with a body", async () => {
    await using bad = await misbehaving.hangsUp();
    await using app = await httpBackend(echo);
    await using r = await rig();
    serve(r, [bad, app], { retryMethods: ["DELETE", "PUT"] });
    const from = async (asked: object): Promise<number> => {
      for (const host of ["mine.example.com", "app.example.com"]) {
        const pool = r.router.table.lookup(host, "/");
        if (pool !== undefined) pool.cursor = 0;
      }
      return (await ask(r.port, asked)).status;
    };
    expect(await from({ ...mine, method: "DELETE" })).toBe(200);
    expect(await from({ ...mine, method: "PUT", body: "x" })).toBe(502);
    expect(await from({ ...mine, method: "POST" })).toBe(502);
    expect(await from({ method: "DELETE" })).toBe(502);
  });

  test("the time of an attempt", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig();
    serve(r, [app], { endpointTimeoutMs: 50 });
    const answer = await ask(r.port, mine);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "endpoint_failure (timeout)"]);
  });

  for (const [what, body, status] of [
    ["as large as allowed", "x".repeat(1_000), 200], ["announced as larger", "x".repeat(1_001), 413],
    ["in pieces, as large as allowed", () => Readable.from(["x".repeat(600), "x".repeat(400)]), 200], ["in pieces that grow larger", () => Readable.from(["x".repeat(600), "x".repeat(600)]), 413],
  ] as const) {
    test(`a body ${what}: ${status}`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      serve(r, [app], { maxRequestBodyBytes: 1_000 });
      const send = (asked: object) => ask(r.port, { ...asked, method: "POST", body: typeof body === "string" ? body : body() });
      const answer = await send(mine);
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, status === 413 ? "request_body_too_large" : undefined]);
      expect((await send({})).status).toBe(200);
      expect(r.router.table.lookup("mine.example.com", "/")?.endpoints[0]?.backend).toMatchObject({ failures: 0 });
    });
  }

  test("headers of answers, the router's own included", async () => {
    await using app = await httpBackend((_, response) => { response.setHeader("Server", "secret/1.0"); response.setHeader("X-Kept", "1"); response.end(); });
    await using r = await rig();
    serve(r, [app], { removeResponseHeaders: ["server"], addResponseHeaders: { "X-Frame-Options": "DENY", "X-Kept": "2" }, maxRequestBodyBytes: 1 });
    expect((await ask(r.port, mine)).headers).toMatchObject({ "x-frame-options": "DENY", "x-kept": "1" });
    expect((await ask(r.port, mine)).headers).not.toHaveProperty("server");
    expect((await ask(r.port)).headers).toMatchObject({ server: "secret/1.0" });
    expect(await ask(r.port, { ...mine, method: "POST", body: "large" })).toMatchObject({ status: 413, headers: { "x-frame-options": "DENY" } });
  });

  test("13.41 names of session cookies", async () => {
    await using app = await httpBackend((request, response) => { response.setHeader("Set-Cookie", request.url === "/sid" ? "sid=1" : "JSESSIONID=1"); response.end(); });
    await using r = await rig();
    serve(r, [app], { stickyCookieNames: ["sid"] });
    const tied = async (asked: object): Promise<boolean> => (await ask(r.port, asked)).headers["set-cookie"]?.some((cookie) => cookie.startsWith("__VCAP_ID__=")) ?? false;
    expect(await Promise.all([tied({ ...mine, path: "/sid" }), tied({ ...mine, path: "/" }), tied({ path: "/sid" }), tied({ path: "/" })])).toEqual([true, false, false, true]);
  });

  test("13.47 hash on a cookie; the header goes first; without either they take turns", async () => {
    const apps = await Promise.all([0, 1, 2, 3].map((n) => httpBackend((_, response) => response.end(String(n)))));
    await using r = await rig();
    serve(r, apps, { loadBalancing: "hash", hashHeader: "X-Tenant", hashCookie: "tenant" });
    const of = async (headers: Record<string, string>): Promise<string> => (await ask(r.port, { ...mine, headers })).body;
    for (const tenant of ["a", "b", "c"]) {
      const home = await of({ "x-tenant": tenant });
      for (let n = 0; n < 4; n += 1) expect(await of({ cookie: `x=1; tenant=${tenant}` })).toBe(home);
      expect(await of({ "x-tenant": tenant, cookie: "tenant=other" })).toBe(home);
    }
    expect(new Set(await Promise.all([0, 1, 2, 3].map(() => of({ cookie: "x=1; tenant=" })))).size).toBe(4);
    for (const app of apps) await app[Symbol.asyncDispose]();
  });

  test("13.35 the own zone", async () => {
    await using near = await httpBackend((_, response) => response.end("near"));
    await using far = await httpBackend((_, response) => response.end("far"));
    await using r = await rig({ zone: "z1" });
    for (const [uri, options] of [["mine.example.com", { preferZone: true }], ["app.example.com", {}]] as const) {
      r.router.table.register(uri, { host: near.host, port: near.port, availabilityZone: "z1" }, options);
      r.router.table.register(uri, { host: far.host, port: far.port, availabilityZone: "z2" }, options);
    }
    const bodies = async (asked: object): Promise<Set<string>> => new Set(await Promise.all([1, 2, 3, 4].map(async () => (await ask(r.port, asked)).body)));
    expect([await bodies(mine), await bodies({})]).toEqual([new Set(["near"]), new Set(["near", "far"])]);
  });
});

describe("places at an endpoint", () => {
  test("13.46 limit of two: the third at a time gets 503, and is counted", async () => {
    await using app = await patient();
    await using r = await rig({ maxConnectionsPerEndpoint: 2 });
    r.serve([app]);
    const held = [ask(r.port), ask(r.port)];
    await eventually(() => app.requests.length === 2);
    expect(await ask(r.port)).toMatchObject({ status: 503, headers: { "x-cf-routererror": "Connection Limit Reached" } });
    app.answer();
    app.answer();
    await Promise.all(held);
    const after = ask(r.port);
    await eventually(() => app.requests.length === 3);
    app.answer();
    expect((await after).status).toBe(200);
    await eventually(() => r.router.numbers().exhausted_connections === 1);
  });

  test("who may wait gets the place of whoever leaves, in the order of arrival; who comes when the line is full is told at once", async () => {
    await using app = await patient();
    await using r = await rig({ maxConnectionsPerEndpoint: 1, maxQueuedPerEndpoint: 2 });
    r.serve([app]);
    const answers: Promise<{ status: number; body: string }>[] = [];
    for (const path of ["/1", "/2", "/3"]) {
      answers.push(ask(r.port, { path }));
      await eventually(() => r.router.inFlight === answers.length);
    }
    await eventually(() => app.requests.length === 1);
    expect((await ask(r.port, { path: "/4" })).status).toBe(503);
    for (const [index, path] of ["/1", "/2", "/3"].entries()) {
      await eventually(() => app.requests.length === index + 1);
      expect(app.requests[index]?.url).toBe(path);
      app.answer();
      expect(await answers[index]).toMatchObject({ status: 200, body: path });
    }
    expect(app.requests.length).toBe(3);
    expect(r.router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend.inFlight).toBe(0);
  });

  test("waiting ends with its time, with the client, or with a new endpoint", async () => {
    await using app = await patient();
    await using r = await rig({ maxConnectionsPerEndpoint: 1, maxQueuedPerEndpoint: 5, queueTimeoutMs: 60 });
    r.serve([app]);
    const held = ask(r.port);
    await eventually(() => app.requests.length === 1);
    expect((await ask(r.port)).status).toBe(503);
    r.router.table.register("app.example.com", { host: app.host, port: app.port }, { queueTimeoutMs: 60_000 });
    const gone = new AbortController();
    const left = fetch(`http://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" }, signal: gone.signal }).catch(() => "left");
    const waits = ask(r.port);
    await eventually(() => r.router.inFlight >= 2);
    gone.abort();
    expect(await left).toBeDefined();
    await using other = await httpBackend((_, response) => response.end("other"));
    r.router.table.register("app.example.com", { host: other.host, port: other.port }, { queueTimeoutMs: 60_000 });
    expect((await waits).body).toBe("other");
    app.answer();
    expect((await held).status).toBe(200);
    await eventually(() => r.router.inFlight === 0);
  });

  test("a step that answers between choice and attempt keeps no place", async () => {
    await using app = await httpBackend(echo);
    const refuse = [...defaultSteps];
    refuse.splice(-1, 0, (exchange) => respondFault(exchange, { status: 418, code: "teapot", message: "no" }));
    await using r = await rig({ steps: refuse, maxConnectionsPerEndpoint: 1 });
    r.serve([app]);
    for (let n = 0; n < 3; n += 1) expect((await ask(r.port)).status).toBe(418);
  });
});
