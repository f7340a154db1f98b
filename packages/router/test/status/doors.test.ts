import { request } from "node:https";
import { describe, expect, test } from "vitest";
import { createRouter, type RouteSource } from "../../src/index.ts";
import { authority } from "../fixtures/certificates.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const ca = authority();
const basic = (text: string): Record<string, string> => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
const source: RouteSource = { name: "s", start: () => ({ async [Symbol.asyncDispose]() {} }) };

const askTls = (port: number, path: string, more: object = {}): Promise<{ status: number; body: string }> => new Promise((resolve, reject) => {
  request({ host: "127.0.0.1", port, path, servername: "status.example.com", ca: ca?.ca, agent: false, ...more }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (part: string) => { body += part; });
    response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
  }).on("error", reject).end();
});

describe("13.100 health", () => {
  test("is 503 until the start delay is over, 200 after; liveness is always 200; while it drains it says how far it is", async () => {
    let finish: (() => void) | undefined;
    await using app = await httpBackend((_, response) => { finish = () => response.end("late"); });
    const router = createRouter({ port: 0, sources: [source], startDelayMs: 400, status: { port: 0 } });
    router.table.register("app.example.com", { host: app.host, port: app.port });
    const listening = router.listen();
    await eventually(() => router.statusAddress !== undefined);
    const port = router.statusAddress?.port ?? 0;
    const health = () => ask(port, { path: "/health" });
    expect(await health()).toMatchObject({ status: 503, body: "" });
    expect((await ask(port, { path: "/is-process-alive-do-not-use-for-loadbalancing" })).status).toBe(200);
    const { port: traffic } = await listening;
    expect(await health()).toMatchObject({ status: 200, body: "ok\n", headers: { "cache-control": "private, max-age=0", expires: "0" } });
    const slow = ask(traffic);
    await eventually(() => finish !== undefined);
    const draining = router.drain({ waitMs: 50 });
    expect(await health()).toMatchObject({ status: 503, body: "draining: 1 requests and 0 tunnels under way\n" });
    expect((await ask(port, { path: "/is-process-alive-do-not-use-for-loadbalancing" })).status).toBe(200);
    finish?.();
    expect((await slow).body).toBe("late");
    await draining;
  });

  test.skipIf(ca === undefined)("is told over TLS too, or only there", async () => {
    const { cert, key } = ca?.sign("status.example.com") ?? { cert: "", key: "" };
    await using both = await rig({ status: { port: 0, tls: { port: 0, cert, key } } });
    expect((await ask(both.router.statusAddress?.port ?? 0, { path: "/health" })).status).toBe(200);
    expect(await askTls(both.router.statusAddresses?.tlsAddress?.port ?? 0, "/health")).toEqual({ status: 200, body: "ok\n" });
    await using only = await rig({ status: { tls: { port: 0, cert, key } } });
    expect(only.router.statusAddress).toEqual(only.router.statusAddresses?.tlsAddress);
    expect((await askTls(only.router.statusAddress?.port ?? 0, "/health")).status).toBe(200);
  });

  test("nobody to ask: that is refused when the router is made", () => {
    for (const status of [{}, { insidePort: 0 }, { port: 70_000 }, { port: 0, user: "a:b" }, { port: 0, metrics: { port: 0, cert: "x" } }, { port: 0, refreshSeconds: 0 }]) {
      expect(() => createRouter({ status })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
    }
  });
});

describe("13.101 the inside view", () => {
  test("has a door of its own on this machine, which asks for credentials; the other door shows the health alone", async () => {
    await using r = await rig({ status: { port: 0, insidePort: 0, user: "ops", password: "a:b" } });
    const outside = r.router.statusAddress?.port ?? 0;
    const { host, port: inside } = r.router.statusAddresses?.insideAddress ?? { host: "", port: 0 };
    expect(host).toBe("127.0.0.1");
    for (const path of ["/routes", "/varz", "/metrics", "/"]) {
      expect((await ask(outside, { path, headers: basic("ops:a:b") })).status).toBe(404);
      expect((await ask(inside, { path })).status).toBe(401);
      for (const wrong of ["ops:a", "ops", ":", "root:a:b"]) expect((await ask(inside, { path, headers: basic(wrong) })).status).toBe(401);
      expect((await ask(inside, { path, headers: { authorization: "Bearer x" } })).status).toBe(401);
      expect((await ask(inside, { path, headers: basic("ops:a:b") })).status).toBe(200);
    }
    expect((await ask(outside, { path: "/health" })).status).toBe(200);
    r.router.table.register("new.example.com", { host: "10.0.0.1", port: 80 });
    expect(Object.keys(JSON.parse((await ask(inside, { path: "/routes", headers: basic("ops:a:b") })).body) as object)).toEqual(["new.example.com"]);
    r.router.table.unregister("new.example.com", { host: "10.0.0.1", port: 80 });
    expect((await ask(inside, { path: "/routes", headers: basic("ops:a:b") })).body).toBe("{}");
  });

  test("is shown everywhere where that is wanted", async () => {
    await using r = await rig({ status: { port: 0, insidePort: 0, everywhere: true } });
    expect((await ask(r.router.statusAddress?.port ?? 0, { path: "/varz" })).status).toBe(200);
  });
});

describe("numbers for a collector", () => {
  test("have a door on this machine that asks nobody and shows nothing else", async () => {
    await using r = await rig({ status: { port: 0, user: "ops", password: "pw", metrics: { port: 0 } } });
    const port = r.router.statusAddresses?.metricsAddress?.port ?? 0;
    expect(await ask(port, { path: "/metrics" })).toMatchObject({ status: 200, headers: { "content-type": expect.stringContaining("version=0.0.4") } });
    expect((await ask(port, { path: "/routes" })).status).toBe(404);
    expect((await ask(r.router.statusAddress?.port ?? 0, { path: "/metrics" })).status).toBe(401);
  });

  test.skipIf(ca === undefined)("or one that asks for a client certificate", async () => {
    const { cert, key } = ca?.sign("status.example.com") ?? { cert: "", key: "" };
    await using r = await rig({ status: { port: 0, metrics: { port: 0, cert, key, ca: ca?.ca ?? "" } } });
    const port = r.router.statusAddresses?.metricsAddress?.port ?? 0;
    await expect(askTls(port, "/metrics")).rejects.toThrow();
    expect((await askTls(port, "/metrics", { cert, key })).status).toBe(200);
  });
});

describe.each(["undici", "native"] as const)("13.108 /varz (%s)", (engine) => {
  test("has gorouter's fields, and its counters and ages move", async () => {
    await using app = await httpBackend((request, response) => { response.statusCode = Number(request.url?.slice(1)); response.end(); });
    await using r = await rig({ engine, index: 3, status: { port: 0, user: "ops", password: "secret-word" } });
    const varz = async () => JSON.parse((await ask(r.router.statusAddress?.port ?? 0, { path: "/varz", headers: basic("ops:secret-word") })).body) as Record<string, unknown>;
    const before = await varz();
    expect(before).toMatchObject({ ms_since_last_registry_update: -1, requests: 0, urls: 0, droplets: 0 });
    r.serve([{ host: app.host, port: app.port, app: "guid", tags: { component: "dea-0" } }]);
    for (const status of [200, 201, 302, 404, 500]) await ask(r.port, { path: `/${status}` });
    await eventually(() => r.records.length === 5);
    const now = await varz();
    expect(now).toMatchObject({
      type: "Router", index: 3, host: `127.0.0.1:${r.port}`, credentials: ["", ""], uuid: expect.stringMatching(/^3-[0-9a-f-]{36}$/), start: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000$/),
      uptime: expect.stringMatching(/^\d+d:\d+h:\d+m:\d+s$/), num_cores: expect.any(Number), mem: expect.any(Number), cpu: expect.any(Number), log_counts: { info: expect.any(Number), warn: 0, error: 0 },
      requests: 5, rate: [expect.any(Number), expect.any(Number), expect.any(Number)], requests_per_sec: expect.any(Number), responses_2xx: 2, responses_3xx: 1, responses_4xx: 1, responses_5xx: 1, responses_xxx: 0,
      latency: { 50: expect.any(Number), 75: expect.any(Number), 90: expect.any(Number), 95: expect.any(Number), 99: expect.any(Number), value: 5e-7, samples: 1 },
      tags: { component: { "dea-0": { requests: 5, responses_2xx: 2, rate: expect.any(Array), latency: { samples: 1 } } } }, urls: 1, droplets: 1, bad_requests: 0, bad_gateways: 0,
      top10_app_requests: [{ application_id: "guid", rpm: 5, rps: expect.any(Number) }],
    });
    expect(now["ms_since_last_registry_update"]).toBeGreaterThanOrEqual(0);
    expect(JSON.stringify(now)).not.toContain("secret-word");
    await eventually(async () => Number((await varz())["ms_since_last_registry_update"]) > Number(now["ms_since_last_registry_update"]));
  });
});
