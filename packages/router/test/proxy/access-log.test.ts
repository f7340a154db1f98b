import { createServer } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { accessLogLine } from "../../src/proxy/access-log.ts";
import type { RequestRecord } from "../../src/proxy/record.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const noDial = { queueMs: undefined, connectMs: undefined, dnsMs: undefined, dialMs: undefined, tlsMs: undefined };

const record = (more: Partial<RequestRecord> = {}): RequestRecord => ({
  method: "GET", host: "a.example.com", target: "/x?y=1", httpVersion: "1.1", route: "a.example.com",
  endpoint: { address: "10.0.0.1:61001", app: "guid", instanceId: "i", instanceIndex: "2", tags: {} },
  status: 200, bytesIn: 5, bytesOut: 1_024, requestId: "id", peer: "1.2.3.4:5", forwardedFor: "9.9.9.9, 1.2.3.4", forwardedProto: "https", referer: "http://r/", userAgent: "curl/8",
  error: undefined, attempts: 1, failedAttempts: 0, upgraded: false, receivedAtMs: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
  timings: { totalMs: 12.3456, routerMs: 2.3456, appMs: 10, appHeadersMs: 9, failedAttemptsMs: 0, ...noDial }, header: () => undefined, localAddress: "10.0.0.9:80", truncated: undefined, warning: undefined, wantedUpgrade: false, ...more,
});

describe("the line", () => {
  test("whole", () => expect(accessLogLine(record())).toBe(
    "a.example.com - [2024-01-02T03:04:05.678000000Z] \"GET /x?y=1 HTTP/1.1\" 200 5 1024 \"http://r/\" \"curl/8\" \"1.2.3.4:5\" \"10.0.0.1:61001\""
    + " x_forwarded_for:\"9.9.9.9, 1.2.3.4\" x_forwarded_proto:\"https\" vcap_request_id:\"id\" response_time:0.012346 gorouter_time:0.002346"
    + " app_id:\"guid\" app_index:\"2\" instance_id:\"i\" x_cf_routererror:\"-\"\n"));

  test("dashes for what is missing", () => expect(accessLogLine(record({
    host: "", endpoint: undefined, status: 0, referer: "", userAgent: "", peer: "", forwardedFor: "", forwardedProto: "", requestId: "", error: "unknown_route",
    timings: { totalMs: 1, routerMs: -1, appMs: undefined, appHeadersMs: undefined, failedAttemptsMs: 0, ...noDial },
  }))).toBe(
    "- - [2024-01-02T03:04:05.678000000Z] \"GET /x?y=1 HTTP/1.1\" \"-\" 5 1024 \"-\" \"-\" \"-\" \"-\""
    + " x_forwarded_for:\"-\" x_forwarded_proto:\"-\" vcap_request_id:\"-\" response_time:0.001000 gorouter_time:\"-\" app_id:\"-\" app_index:\"-\" instance_id:\"-\" x_cf_routererror:\"unknown_route\"\n"));

  test("nobody can forge another line", () => {
    const line = accessLogLine(record({ userAgent: "a\"\r\nb\u0085c\u2028d", host: "a.b" }));
    expect(line.split(/[\r\n\u0085\u2028]/).length).toBe(2);
    expect(line).toContain("\"a\\\"\\r\\nb\\u0085c\\u2028d\"");
  });

  test("any text comes back as it was, on one line; any duration to the microsecond", () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })).filter((text) => text !== ""), fc.double({ min: 0, max: 1e9, noNaN: true }), (userAgent, totalMs) => {
      const line = accessLogLine(record({ userAgent, referer: "", timings: { totalMs, routerMs: 0, appMs: 0, appHeadersMs: 0, failedAttemptsMs: 0, ...noDial } }));
      expect(line.trimEnd().split(/[\r\n\u0085\u2028\u2029]/)).toHaveLength(1);
      const [, quotedAgent = "", time = ""] = /"-" ("(?:[^"\\]|\\.)*") "1\.2\.3\.4:5" .* response_time:(\d+\.\d{6}) gorouter_time:0\.000000/.exec(line) ?? [];
      expect(JSON.parse(quotedAgent)).toBe(userAgent);
      expect(Math.abs(Number(time) - totalMs / 1_000)).toBeLessThan(0.000_000_6 + totalMs * 1e-15);
    }));
  });

  test("extra fields in their order, each once; extra headers last", () => {
    const line = accessLogLine(record({ failedAttempts: 2, timings: { totalMs: 1, routerMs: 1, appMs: 10, appHeadersMs: 1, failedAttemptsMs: 3, ...noDial }, header: (name) => (name === "x-tenant" ? "t" : undefined) }),
      { extraFields: ["backend_time", "failed_attempts", "failed_attempts_time", "backend_time"], extraHeaders: ["X-Tenant", "X-None"] });
    expect(line.split("instance_id:\"i\"")[1]).toBe(" backend_time:0.010000 failed_attempts:2 failed_attempts_time:0.003000 x_cf_routererror:\"-\" x_tenant:\"t\" x_none:\"-\"\n");
  });

  for (const [method, redactQuery, target] of [
    ["GET", "all", "/x"], ["GET", "hash", "/x?hash=53fb5ab1a4c1a1ee5d5e9d50ab7ef3b0cd5ee9d8"], ["POST", "all", "/x?y=1"], ["GET", "none", "/x?y=1"],
  ] as const) {
    test(`query of ${method} redacted: ${redactQuery}`, () => {
      const line = accessLogLine(record({ method }), { redactQuery });
      if (redactQuery === "hash" && method === "GET") expect(line).toMatch(/"GET \/x\?hash=[0-9a-f]{40} HTTP/);
      else expect(line).toContain(`"${method} ${target} HTTP/1.1"`);
    });
  }

  test("without the client's addresses", () => {
    const line = accessLogLine(record(), { hideClientAddress: true });
    expect(line).toContain("\"-\" \"10.0.0.1:61001\" x_forwarded_for:\"-\"");
    expect(line).not.toContain("1.2.3.4");
  });
});

describe("the sink", () => {
  test("gets a line per request, tunnels and refusals too", async () => {
    await using app = await httpBackend(echo);
    const lines: string[] = [];
    await using r = await rig({ accessLog: { write: (line) => lines.push(line) }, accessLogFormat: { extraHeaders: ["x-tenant"] } });
    r.serve([{ host: app.host, port: app.port, app: "guid" }]);
    await ask(r.port, { headers: { "x-tenant": "t1" } });
    await ask(r.port, { host: "nobody.example.com", headers: { "x-forwarded-for": "9.9.9.9" } });
    await eventually(() => lines.length === 2);
    expect(lines[0]).toMatch(/^app\.example\.com - \[[^\]]+\] "GET \/ HTTP\/1\.1" 200 0 \d+ "-" "-" "127\.0\.0\.1:\d+" "127\.0\.0\.1:\d+" x_forwarded_for:"127\.0\.0\.1" .* app_id:"guid" .* x_tenant:"t1"\n$/);
    expect(lines[1]).toMatch(/" 404 0 \d+ .* x_forwarded_for:"9\.9\.9\.9" .* app_id:"-" .* x_cf_routererror:"unknown_route" x_tenant:"-"\n$/);
  });

  test("that does not keep up loses lines, which are counted, and holds no request up", async () => {
    await using app = await httpBackend(echo);
    const lines: string[] = [];
    await using r = await rig({ accessLog: { write: (line) => lines.push(line), writableLength: 5_000_000 }, status: { port: 0 } });
    r.serve([app]);
    expect((await ask(r.port)).status).toBe(200);
    await eventually(() => r.records.length === 1);
    expect(lines).toEqual([]);
    await eventually(async () => (JSON.parse((await ask(r.router.statusAddress?.port ?? 0, { path: "/varz" })).body) as { dropped_access_log_lines: number }).dropped_access_log_lines === 1);
    expect(lines).toEqual([]);
  });
});

test("an app that redirects is not followed", async () => {
  let followed = 0;
  const elsewhere = createServer((_, response) => { followed += 1; response.end(); });
  await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  await using app = await httpBackend((_, response) => { response.writeHead(307, { location: `http://127.0.0.1:${(elsewhere.address() as { port: number }).port}/` }); response.end(); });
  await using r = await rig();
  r.serve([app]);
  expect((await ask(r.port)).status).toBe(307);
  expect(followed).toBe(0);
  await new Promise((resolve) => elsewhere.close(resolve));
});
