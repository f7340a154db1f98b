import { describe, expect, test } from "vitest";
import { echo, httpBackend } from "./fixtures/backend.ts";
import { ask, eventually } from "./fixtures/client.ts";
import { rig } from "./fixtures/rig.ts";

const basic = (text: string): Record<string, string> => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });

describe("the status listener", () => {
  test("health is for everybody, the rest asks for credentials", async () => {
    await using r = await rig({ status: { port: 0, user: "ops", password: "with:colon" } });
    const port = r.router.statusAddress?.port ?? 0;
    expect(await ask(port, { path: "/health" })).toMatchObject({ status: 200, body: "ok\n", headers: { "cache-control": "private, max-age=0", expires: "0" } });
    expect((await ask(port, { path: "/healthz" })).status).toBe(200);
    for (const path of ["/varz", "/routes"]) {
      expect((await ask(port, { path })).status).toBe(401);
      expect((await ask(port, { path, headers: basic("ops:wrong") })).status).toBe(401);
      expect((await ask(port, { path, headers: basic("ops:with:colon") })).status).toBe(200);
    }
    expect((await ask(port, { path: "/other" })).status).toBe(404);
    expect((await ask(port, { path: "/routes", method: "POST", headers: basic("ops:with:colon") })).status).toBe(405);
  });

  test("/routes has the documented fields and no others", async () => {
    await using r = await rig({ status: { port: 0 } });
    const port = r.router.statusAddress?.port ?? 0;
    expect((await ask(port, { path: "/routes" })).body).toBe("{}");
    r.router.table.register("a.com/x", {
      host: "10.0.0.1", tlsPort: 443, serverCertDomainSan: "i", instanceId: "i", isolationSegment: "seg", availabilityZone: "z1", staleAfterMs: 120_000, tags: { component: "dea" },
    }, { loadBalancing: "least-connections" });
    r.router.table.register("b.com", { host: "10.0.0.1", port: 80 });
    expect(JSON.parse((await ask(port, { path: "/routes" })).body)).toEqual({
      "a.com/x": [{
        address: "10.0.0.1:443", availability_zone: "z1", protocol: "http1", tls: true, ttl: 120, tags: { component: "dea" }, isolation_segment: "seg",
        private_instance_id: "i", server_cert_domain_san: "i", load_balancing_algorithm: "least-connection",
      }],
      "b.com": [{ address: "10.0.0.1:80", availability_zone: "", protocol: "http1", tls: false, ttl: -1, tags: {} }],
    });
  });

  test("/varz counts, and holds no credentials", async () => {
    await using app = await httpBackend((request, response) => { response.statusCode = Number(request.url?.slice(1)); response.end(); });
    await using r = await rig({ status: { port: 0, user: "ops", password: "secret-password" } });
    r.router.table.register("app.example.com", { host: app.host, port: app.port, app: "guid", tags: { component: "dea-0" } });
    for (const status of [200, 201, 302, 404, 500]) await ask(r.port, { path: `/${status}` });
    await ask(r.port, { host: "nobody.example.com" });
    await eventually(() => r.records.length === 6);
    const text = (await ask(r.router.statusAddress?.port ?? 0, { path: "/varz", headers: basic("ops:secret-password") })).body;
    expect(JSON.parse(text)).toMatchObject({
      type: "Router", uuid: r.router.id, state: "healthy", urls: 1, droplets: 1, requests: 6, responses_2xx: 2, responses_3xx: 1, responses_4xx: 2, responses_5xx: 1, responses_xxx: 0,
      bad_requests: 1, bad_gateways: 0, active_requests: 0, active_tunnels: 0, latency: { 50: expect.any(Number), 99: expect.any(Number) }, uptime: expect.stringMatching(/^0d:0h:0m:\d+s$/),
      top10_app_requests: [{ application_id: "guid", rpm: 5 }], tags: { component: { "dea-0": { requests: 5, responses_2xx: 2 } } },
    });
    expect(text).not.toContain("secret-password");
  });

  test("its port may be taken too", async () => {
    await using r = await rig({ status: { port: 0 } });
    await expect(rig({ status: { port: r.router.statusAddress?.port ?? 0 } })).rejects.toMatchObject({ code: "ROUTER_PORT_TAKEN" });
  });
});

describe("the event", () => {
  test("tells route, endpoint, status and times", async () => {
    await using app = await httpBackend((request, response) => { setTimeout(() => echo(request, response), 30); });
    await using r = await rig();
    r.router.table.register("app.example.com/x", { host: app.host, port: app.port, app: "guid", instanceId: "i", instanceIndex: "2" });
    await ask(r.port, { path: "/x/y?z", method: "POST", body: "12345", headers: { "user-agent": "test", referer: "http://r/" } });
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({
      method: "POST", host: "app.example.com", target: "/x/y?z", httpVersion: "1.1", route: "app.example.com/x", status: 200, bytesIn: 5, attempts: 1, failedAttempts: 0, upgraded: false, error: undefined,
      endpoint: { address: `127.0.0.1:${app.port}`, app: "guid", instanceId: "i", instanceIndex: "2" }, userAgent: "test", referer: "http://r/", peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      forwardedFor: "127.0.0.1", forwardedProto: "http", requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const { timings } = r.records[0] as (typeof r.records)[number];
    expect(timings.appHeadersMs).toBeGreaterThan(25);
    expect(timings.appMs).toBeGreaterThanOrEqual(timings.appHeadersMs ?? 0);
    expect(timings.totalMs).toBeGreaterThanOrEqual(timings.appMs ?? 0);
    expect(timings.routerMs).toBeGreaterThanOrEqual(0);
    expect(timings.routerMs).toBeLessThan(timings.totalMs);
  });
});
