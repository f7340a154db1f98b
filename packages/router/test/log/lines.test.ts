import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { defaultSteps, traceRequests, type AccessLogOptions, type RouterOptions } from "../../src/index.ts";
import { engineUnderTest } from "../fixtures/engine.ts";
import { httpBackend, misbehaving, rawBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually, wire, type Asked } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

/** The line a request to `app.example.com` leaves. */
async function lineOf(asked: Asked, { format = {}, backends, ...more }: RouterOptions & { format?: AccessLogOptions; backends?: readonly Backend[] } = {}): Promise<string> {
  const lines: string[] = [];
  await using app = await httpBackend((_, response) => response.end("hello"));
  await using r = await rig({ accessLog: { write: (line) => lines.push(line) }, accessLogFormat: format, ...more });
  r.serve((backends ?? [app]).map(({ host, port }) => ({ host, port, app: "guid", instanceId: "id", instanceIndex: "3" })));
  await ask(r.port, asked);
  await eventually(() => lines.length === 1);
  return lines[0] as string;
}

const hasIpv6 = Object.values(networkInterfaces()).flat().some((one) => one?.address === "::1");

/** What the record of this request says. */
async function localAddressTold({ records }: Rig, asking: () => Promise<unknown>): Promise<string> {
  const before = records.length;
  await asking();
  await eventually(() => records.length > before);
  return records.at(-1)?.localAddress ?? "no record";
}

const parsed = async (asked: Asked, options: Parameters<typeof lineOf>[1] = {}) => JSON.parse(await lineOf(asked, { ...options, format: { ...options.format, kind: "json" } })) as Record<string, unknown>;

describe("13.104 the line", () => {
  test("has every field in its place", async () => {
    expect(await lineOf({ method: "POST", path: "/x?y", body: "12345", headers: { referer: "http://r/", "user-agent": "curl/8 \"x\"", "x-forwarded-for": "9.9.9.9", "x-forwarded-proto": "https" } })).toMatch(new RegExp(
      "^app\\.example\\.com - \\[\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z\\] \"POST /x\\?y HTTP/1\\.1\" 200 5 5 \"http://r/\" \"curl/8 \\\\\"x\\\\\"\" \"127\\.0\\.0\\.1:\\d+\" \"127\\.0\\.0\\.1:\\d+\""
      + " x_forwarded_for:\"9\\.9\\.9\\.9, 127\\.0\\.0\\.1\" x_forwarded_proto:\"https\" vcap_request_id:\"[0-9a-f-]{36}\" response_time:\\d+\\.\\d{6} gorouter_time:\\d+\\.\\d{6}"
      + " app_id:\"guid\" app_index:\"3\" instance_id:\"id\" x_cf_routererror:\"-\"\\n$"));
  });

  test("extra fields only when listed, each once, in that order; unknown ones are passed over", async () => {
    expect(await lineOf({})).not.toMatch(/failed_attempts|backend_time|dns_time|dial_time|tls_time|local_address/);
    const line = await lineOf({}, { format: { extraFields: ["local_address", "backend_time", "dial_time", "nonsense" as never, "toString" as never, "backend_time", "dns_time", "tls_time", "failed_attempts", "failed_attempts_time"] } });
    expect(line).toMatch(/instance_id:"id" local_address:"127\.0\.0\.1:\d+" backend_time:\d\.\d{6} dial_time:\d\.\d{6} dns_time:"-" tls_time:"-" failed_attempts:0 failed_attempts_time:"-" x_cf_routererror/);
  });

  test("a connection found open has no dial time", async () => {
    await using app = await httpBackend((_, response) => response.end("x"));
    await using r = await rig();
    r.serve([app]);
    for (let at = 0; at < 3; at += 1) await ask(r.port);
    await eventually(() => r.records.length === 3);
    expect(app.connections()).toBe(1);
    expect(r.records.map(({ timings }) => timings.connectMs === undefined)).toEqual([false, true, true]);
    for (const { timings } of r.records) expect(timings.queueMs).toBeGreaterThanOrEqual(0);
    expect(r.records[0]?.timings.dialMs).toBeGreaterThan(0);
  });

  test("local_address is the router's end of the connection to the app: of a new one, one found open, one that was asked a question first and one that leaves HTTP; none where no app was asked", async () => {
    const ports: number[] = [];
    await using app = await httpBackend((request, response) => {
      ports.push(request.socket.remotePort as number);
      if (request.url === "/last") response.setHeader("Connection", "close");
      request.resume().on("end", () => response.end("x"));
    });
    app.server.on("upgrade", ({ socket: { remotePort } }, socket) => {
      ports.push(remotePort as number);
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    });
    await using r = await rig();
    r.serve([app]);
    const told = (asking: () => Promise<unknown>) => localAddressTold(r, asking);
    expect(await told(() => ask(r.port))).toBe(`127.0.0.1:${ports[0]}`);
    // undici does not say which one it takes.
    expect(await told(() => ask(r.port, { path: "/last" }))).toBe(engineUnderTest.option.engine === "undici" ? "" : `127.0.0.1:${ports[1]}`);
    expect(ports[1]).toBe(ports[0]);
    expect(await told(() => ask(r.port, { method: "POST", body: "12345", headers: { expect: "100-continue" } }))).toBe(`127.0.0.1:${ports[2]}`);
    expect(await told(async () => {
      await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      await client.end();
    })).toBe(`127.0.0.1:${ports[3]}`);
    expect(await told(() => ask(r.port, { host: "nobody.example.com" }))).toBe("");
  });

  test.skipIf(!hasIpv6)("local_address has brackets where it is one of IPv6", async () => {
    let port = 0;
    await using app = await httpBackend(({ socket }, response) => {
      port = socket.remotePort as number;
      response.end();
    }, "::1");
    await using r = await rig();
    r.serve([app]);
    expect(await localAddressTold(r, () => ask(r.port))).toBe(`[::1]:${port}`);
  });

  test("of an attempt that had no connection nothing is told of the connection of the one before", async () => {
    await using dead = await misbehaving.refuses();
    await using cut = await rawBackend((socket) => void socket.once("data", () => socket.resetAndDestroy()));
    for (let at = 0; ; at += 1) {
      await using r = await rig({ maxAttempts: 2 });
      r.serve([cut, dead]);
      expect((await ask(r.port)).status).toBe(502);
      await eventually(() => r.records.length === 1);
      const [record] = r.records;
      expect(record?.attempts).toBe(2);
      if (record?.endpoint?.address === `127.0.0.1:${cut.port}` && at < 30) continue;
      expect([record?.endpoint?.address, record?.localAddress, record?.timings.dialMs]).toEqual([`127.0.0.1:${dead.port}`, "", undefined]);
      return;
    }
  });

  test("headers that are listed, all their values; those of a trace as the app got them", async () => {
    const line = await lineOf({ headers: { "x-tenant": ["a", "b"] } }, { format: { extraHeaders: ["X-Tenant", "X-None", "traceparent"] }, steps: [traceRequests({ w3c: true }), ...defaultSteps] });
    expect(line).toMatch(/x_cf_routererror:"-" x_tenant:"a, b" x_none:"-" traceparent:"00-[0-9a-f]{32}-[0-9a-f]{16}-01"\n$/);
  });

  test("the same as JSON, without what is missing", async () => {
    const line = await parsed({ method: "POST", body: "12345", headers: { "user-agent": "u" } }, { format: { extraFields: ["failed_attempts", "dns_time"], extraHeaders: ["x-none"] } });
    expect(line).toEqual({
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/), host: "app.example.com", method: "POST", target: "/", protocol: "HTTP/1.1", status: 200, bytes_in: 5, bytes_out: 5, user_agent: "u",
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/), backend: expect.stringMatching(/^127\.0\.0\.1:\d+$/), x_forwarded_for: "127.0.0.1", x_forwarded_proto: "http", vcap_request_id: expect.any(String),
      response_time: expect.any(Number), gorouter_time: expect.any(Number), app_id: "guid", app_index: "3", instance_id: "id", route: "app.example.com", failed_attempts: 0,
    });
    expect(await parsed({ host: "nobody.example.com" })).toMatchObject({ status: 404, x_cf_routererror: "unknown_route" });
  });
});

describe("13.105 what is not written down", () => {
  const hash = createHash("sha1").update("secret=1&b=2").digest("hex");
  for (const [method, redactQuery, target] of [["GET", "none", "/p?secret=1&b=2"], ["GET", "all", "/p"], ["GET", "hash", `/p?hash=${hash}`], ["POST", "all", "/p?secret=1&b=2"], ["POST", "hash", "/p?secret=1&b=2"]] as const) {
    test(`the query of ${method} with ${redactQuery}`, async () => {
      expect(await lineOf({ method, path: "/p?secret=1&b=2" }, { format: { redactQuery } })).toContain(`"${method} ${target} HTTP/1.1"`);
      expect((await parsed({ method, path: "/p?secret=1&b=2" }, { format: { redactQuery } }))["target"]).toBe(target);
    });
  }

  test("addresses of clients, one by one, in both forms", async () => {
    const asked = { headers: { "x-forwarded-for": "9.9.9.9" } };
    expect(await lineOf(asked, { format: { hideForwardedFor: true } })).toMatch(/"127\.0\.0\.1:\d+" "127\.0\.0\.1:\d+" x_forwarded_for:"-"/);
    expect(await lineOf(asked, { format: { hidePeer: true } })).toMatch(/"-" "127\.0\.0\.1:\d+" x_forwarded_for:"9\.9\.9\.9, 127\.0\.0\.1"/);
    const json = await parsed(asked, { format: { hideClientAddress: true } });
    expect([json["peer"], json["x_forwarded_for"]]).toEqual([undefined, undefined]);
  });

  test("nor for a WebSocket", async () => {
    const lines: string[] = [];
    await using app = await rawBackend((socket) => socket.once("data", () => socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")));
    await using r = await rig({ accessLog: { write: (line) => lines.push(line) }, accessLogFormat: { hideClientAddress: true } });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
    await client.until("101");
    client.socket.destroy();
    await eventually(() => lines.length === 1);
    expect(lines[0]).toMatch(/ 101 \d+ \d+ "-" "-" "-" "127\.0\.0\.1:\d+" x_forwarded_for:"-" /);
  });
});

describe("13.106 the times", () => {
  test("a slow body counts in response_time, not in gorouter_time", async () => {
    await using slow = await httpBackend((_, response) => { response.write("begin"); setTimeout(() => response.end("end"), 300); });
    const line = await parsed({}, { backends: [slow], format: { extraFields: ["backend_time"] } }) as { response_time: number; gorouter_time: number; backend_time: number };
    expect(line.response_time).toBeGreaterThan(0.28);
    expect(line.backend_time).toBeGreaterThan(0.28);
    expect(line.gorouter_time).toBeLessThan(line.response_time - 0.25);
  });

  test("failed attempts are counted, and their time apart", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend((_, response) => response.end("x"));
    const seen: Record<string, unknown>[] = [];
    for (let at = 0; at < 20 && seen.every((one) => one["failed_attempts"] === 0); at += 1) {
      seen.push(await parsed({}, { backends: [dead, app], format: { extraFields: ["failed_attempts", "failed_attempts_time", "backend_time"] } }));
    }
    expect(seen.at(-1)).toMatchObject({ status: 200, failed_attempts: 1, failed_attempts_time: expect.any(Number), backend_time: expect.any(Number) });
  });

  test("what ends early is written down without backend_time", async () => {
    const format = { extraFields: ["backend_time"] } as const;
    expect(await lineOf({ host: "nobody.example.com" }, { format })).toMatch(/ 404 .* backend_time:"-" x_cf_routererror:"unknown_route"/);
    expect(await lineOf({ headers: { "x-cf-app-instance": "x" } }, { format })).toMatch(/ 400 .* backend_time:"-" /);
    expect(await lineOf({ headers: { a: "x".repeat(300) } }, { format, maxRequestHeaderBytes: 200 })).toMatch(/ 431 .* backend_time:"-" x_cf_routererror:"max-request-size-exceeded"/);
  });

  test("13.83 a client that leaves is a 499", async () => {
    await using stalls = await misbehaving.stalls();
    const lines: string[] = [];
    await using r = await rig({ accessLog: { write: (line) => lines.push(line) } });
    r.serve([stalls]);
    const socket = connect(r.port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n"));
    await eventually(() => stalls.heard() > 0);
    socket.destroy();
    await eventually(() => lines.length === 1);
    expect(lines[0]).toMatch(/" 499 0 0 .* x_cf_routererror:"endpoint_failure \(context canceled\)"/);
  });
});
