import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Histogram } from "../../src/numbers/histogram.ts";
import { Rates } from "../../src/numbers/rates.ts";
import { PerApp } from "../../src/numbers/per-app.ts";
import type { RequestRecord } from "../../src/proxy/record.ts";
import { createServer } from "node:http";
import { httpBackend, misbehaving } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const record = (more: Partial<RequestRecord> = {}): RequestRecord => ({
  method: "GET", host: "a", target: "/", httpVersion: "1.1", route: "a", endpoint: { address: "10.0.0.1:1", app: "guid", instanceId: "", instanceIndex: "", tags: {} }, status: 200, bytesIn: 1, bytesOut: 2,
  requestId: "", peer: "", forwardedFor: "", forwardedProto: "", referer: "", userAgent: "", error: undefined, truncated: undefined, warning: undefined, attempts: 1, failedAttempts: 0, upgraded: false, wantedUpgrade: false, receivedAtMs: 0,
  timings: { totalMs: 10, routerMs: 1, appMs: 9, appHeadersMs: 8, failedAttemptsMs: 0, queueMs: 1, connectMs: undefined, dnsMs: undefined, dialMs: undefined, tlsMs: undefined },
  localAddress: "", header: () => undefined, ...more,
});

describe("a histogram", () => {
  test("holds every value in the one bucket it belongs to; merged ones are as if counted together", () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 1_000, noNaN: true })), fc.array(fc.double({ min: 0, max: 1_000, noNaN: true })), (some, others) => {
      const [one, other, both] = [new Histogram(), new Histogram(), new Histogram()];
      for (const value of some) { one.add(value); both.add(value); }
      for (const value of others) { other.add(value); both.add(value); }
      one.merge(other);
      expect([...one.counts]).toEqual([...both.counts]);
      expect([one.count, Math.abs(one.sum - both.sum) < 1e-6]).toEqual([some.length + others.length, true]);
      let below = 0;
      both.bounds.forEach((bound, at) => {
        below += both.counts[at] as number;
        expect(below).toBe([...some, ...others].filter((value) => value <= bound).length);
      });
    }));
  });

  test("a quantile lies in the bucket of the value it stands for", () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 290, noNaN: true }), { minLength: 1 }), fc.integer({ min: 1, max: 100 }), (values, percent) => {
      const held = new Histogram();
      for (const value of values) held.add(value);
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.ceil(sorted.length * percent / 100) - 1] as number;
      const at = held.bounds.findIndex((bound) => exact <= bound);
      expect(held.quantile(percent)).toBeGreaterThanOrEqual(at === 0 ? 0 : held.bounds[at - 1] as number);
      expect(held.quantile(percent)).toBeLessThanOrEqual(held.bounds[at] as number);
    }));
  });
});

describe("rates", () => {
  test("of a steady stream are its rate; of silence they fade, the shortest first", () => {
    const rates = new Rates(0);
    let now = 0;
    for (; now < 3_600_000; now += 100) rates.mark(now);
    for (const rate of rates.read(now)) expect(rate).toBeCloseTo(10, 1);
    expect(rates.latest(now)).toBeCloseTo(10, 5);
    const [one, five, fifteen] = rates.read(now + 120_000);
    expect([one < five, five < fifteen, fifteen < 10]).toEqual([true, true, true]);
    expect(rates.latest(now + 120_000)).toBe(0);
    expect(rates.read(now + 40 * 3_600_000)[2]).toBeLessThan(0.01);
  });
});

describe("numbers per app", () => {
  test("are kept for so many and no more; nothing is lost when a place is given away", () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 700_000 })), { maxLength: 300 }), (requests) => {
      const perApp = new PerApp(0, { max: 5 });
      let now = 0;
      for (const [app, laterMs] of requests) {
        now += laterMs;
        perApp.count(record({ route: `r${app % 4}`, endpoint: { address: "", app: `app-${app}`, instanceId: "", instanceIndex: "", tags: {} } }), now);
        expect(perApp.size).toBeLessThanOrEqual(5);
      }
      const all = [...perApp.all()];
      expect(all.length).toBeLessThanOrEqual(6);
      expect(all.reduce((sum, { traffic }) => sum + traffic.requests, 0)).toBe(requests.length);
      expect(all.reduce((sum, { traffic }) => sum + traffic.bytesOut, 0)).toBe(requests.length * 2);
      expect(all.reduce((sum, { traffic }) => sum + traffic.phases.total.count, 0)).toBe(requests.length);
    }), { numRuns: 50 });
  });
});

/** The samples of a page in Prometheus text, by name and labels. */
async function samples(port: number): Promise<Map<string, number>> {
  const { body } = await ask(port, { path: "/metrics" });
  const out = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of body.split("\n")) {
    if (line === "") continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type !== null) {
      expect(types.has(type[1] as string)).toBe(false);
      types.set(type[1] as string, type[2] as string);
      continue;
    }
    if (line.startsWith("# HELP ")) continue;
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$/.exec(line);
    expect([line, sample !== null]).toEqual([line, true]);
    const [, name = "", labels = "", value] = sample as RegExpExecArray;
    expect([name, types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram" || types.get(name.replace(/_(sum|count)$/, "")) === "summary"]).toEqual([name, true]);
    expect(out.has(name + labels)).toBe(false);
    out.set(name + labels, Number(value));
  }
  return out;
}

describe("/metrics", () => {
  test("throughput, phases, bandwidth and answers per app; gorouter's names for the whole", async () => {
    await using shop = await httpBackend((request, response) => { request.resume(); request.on("end", () => { response.statusCode = request.url === "/bad" ? 500 : 200; response.end("x".repeat(1_000)); }); });
    await using plain = await httpBackend((_, response) => response.end("no app"));
    await using dead = await misbehaving.refuses();
    await using r = await rig({ status: { port: 0 } });
    r.serve([{ host: shop.host, port: shop.port, app: "shop-guid", tags: { component: "dea-0" } }], "shop.example.com");
    r.serve([{ host: shop.host, port: shop.port, app: "shop-guid" }], "shop.example.com/admin");
    r.serve([plain], "plain.example.com");
    r.serve([{ host: dead.host, port: dead.port, app: "dead\"guid" }], "dead.example.com");
    const port = r.router.statusAddress?.port ?? 0;
    for (let at = 0; at < 4; at += 1) await ask(r.port, { host: "shop.example.com", method: "POST", body: "12345" });
    await ask(r.port, { host: "shop.example.com", path: "/bad" });
    await ask(r.port, { host: "shop.example.com", path: "/admin" });
    await ask(r.port, { host: "plain.example.com" });
    expect((await ask(r.port, { host: "dead.example.com" })).status).toBe(502);
    await ask(r.port, { host: "nobody.example.com" });
    await eventually(() => r.records.length === 9);
    const seen = await samples(port);
    const shopLabels = "app=\"shop-guid\",route=\"\"";
    expect({
      ok: seen.get(`app_responses_total{${shopLabels},status_group="2xx"}`), bad: seen.get(`app_responses_total{${shopLabels},status_group="5xx"}`),
      in: seen.get(`app_received_bytes_total{${shopLabels}}`), out: seen.get(`app_sent_bytes_total{${shopLabels}}`),
      queue: seen.get(`app_request_duration_seconds_count{${shopLabels},phase="queue"}`), firstByte: seen.get(`app_request_duration_seconds_count{${shopLabels},phase="first_byte"}`),
      total: seen.get(`app_request_duration_seconds_bucket{${shopLabels},phase="total",le="+Inf"}`),
      plain: seen.get("app_responses_total{app=\"\",route=\"plain.example.com\",status_group=\"2xx\"}"),
      deadErrors: seen.get("app_router_errors_total{app=\"dead\\\"guid\",route=\"\"}"), deadAttempts: seen.get("app_failed_attempts_total{app=\"dead\\\"guid\",route=\"\"}"),
    }).toEqual({ ok: 5, bad: 1, in: 20, out: 6_000, queue: 6, firstByte: 6, total: 6, plain: 1, deadErrors: 1, deadAttempts: expect.any(Number) });
    const connects = seen.get(`app_request_duration_seconds_count{${shopLabels},phase="connect"}`) ?? 0;
    expect(connects).toBe(shop.connections());
    expect({
      requests: seen.get("total_requests{component=\"dea-0\"}"), others: seen.get("total_requests{component=\"\"}"), ok: seen.get("responses{status_group=\"2xx\"}"), rejected: seen.get("rejected_requests"),
      gateways: seen.get("bad_gateways"), routes: seen.get("total_routes"), healthy: seen.get("healthy"), refused: seen.get("failed_attempts{cause=\"connection refused\"}"), durations: seen.get("request_duration_seconds_count"),
    }).toEqual({ requests: 5, others: 4, ok: 6, rejected: 1, gateways: 1, routes: 4, healthy: 1, refused: expect.any(Number), durations: 9 });
    expect(seen.get("file_descriptors")).not.toBe(0);
  });

  test("13.76 what is refused, what fails and what is full is counted apart; WebSockets that find nobody as well", async () => {
    await using dead = await misbehaving.refuses();
    await using stalls = await misbehaving.stalls();
    await using r = await rig({ status: { port: 0 }, maxConnectionsPerEndpoint: 1 });
    r.serve([dead], "dead.example.com");
    r.serve([stalls], "full.example.com");
    await using socket = await wire(r.port, "GET / HTTP/1.1\r\nHost: dead.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    await socket.until("502");
    await using first = await wire(r.port, "GET / HTTP/1.1\r\nHost: full.example.com\r\n\r\n");
    await eventually(() => stalls.heard() > 0);
    expect(first.heard()).toBe("");
    expect((await ask(r.port, { host: "full.example.com" })).status).toBe(503);
    expect((await ask(r.port, { host: "none.example.com" })).status).toBe(404);
    await eventually(() => r.records.length === 3);
    expect(r.router.numbers()).toMatchObject({ requests: 3, bad_gateways: 1, websocket_failures: 1, bad_requests: 1, exhausted_connections: 1, responses_4xx: 1, responses_5xx: 2, websocket_upgrades: 0 });
    const seen = await samples(r.router.statusAddress?.port ?? 0);
    expect([seen.get("backend_exhausted_conns"), seen.get("websocket_failures"), seen.get("active_requests")]).toEqual([1, 1, 1]);
  });

  test("a thousand apps are written in pieces, between which requests are answered", async () => {
    const app = createServer((_, response) => response.end("x"));
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    const { port } = app.address() as { port: number };
    await using r = await rig({ status: { port: 0 } });
    for (let at = 0; at < 300; at += 1) {
      r.serve([{ host: "127.0.0.1", port }], `r${at}.example.com`);
      await ask(r.port, { host: `r${at}.example.com` });
    }
    const order: string[] = [];
    await Promise.all([
      ask(r.router.statusAddress?.port ?? 0, { path: "/metrics" }).then(({ body }) => { order.push("metrics"); expect(body.match(/^app_received_bytes_total\{/gm)).toHaveLength(300); }),
      ask(r.port, { host: "r1.example.com" }).then(() => order.push("request")),
    ]);
    expect(order.at(-1)).toBe("metrics");
    app.closeAllConnections();
    await new Promise((resolve) => app.close(resolve));
  });
});
