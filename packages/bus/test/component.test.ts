import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Bus, createBus, createMemoryHub, memoryTransport } from "@opencf/bus";
import { type ComponentOptions, createComponent, createMetrics } from "@opencf/bus/component";
import { listen } from "@opencf/bus/http";
import { componentAnnounce, componentDiscover } from "@opencf/bus/messages/component";
import { parseExposition, valueOf } from "./fixtures/prometheus.ts";

let bus: Bus;
beforeEach(async () => void (bus = await createBus({ transport: memoryTransport() })));
afterEach(async () => bus[Symbol.asyncDispose]());

const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

async function start(options: Partial<ComponentOptions> = {}) {
  const component = await createComponent(bus, { type: "Router", user: "u", password: "p", ...options });
  return {
    component,
    get: (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${component.port}${path}`, { headers: { authorization: basic("u", "p") }, ...init }),
    [Symbol.asyncDispose]: () => component[Symbol.asyncDispose](),
  };
}

describe("on the bus", () => {
  test("it announces itself once its page is up, and answers who asks with fresh uptime", async () => {
    const heard: { type: string; reached: Promise<number> }[] = [];
    bus.subscribe(componentAnnounce, ({ body }) => void heard.push({ type: body.type, reached: fetch(`http://${body.host}/healthz`, { headers: { authorization: basic(body.credentials[0] ?? "", body.credentials[1] ?? "") } }).then(({ status }) => status) }));
    await using component = await createComponent(bus, { type: "Router", index: 3, version: "1.2.3", zone: "z1", address: { host: "10.0.0.9", port: 80 } });
    await expect.poll(() => heard.map(({ type }) => type)).toEqual(["Router"]);
    expect(await heard[0]?.reached).toBe(200);
    const [answer] = await bus.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 });
    expect(answer).toMatchObject({ type: "Router", index: 3, uuid: component.uuid, host: `127.0.0.1:${component.port}`, version: "1.2.3", zone: "z1", address: "10.0.0.9:80" });
    expect(component.uuid).toMatch(/^3-[0-9a-f]{32}$/);
    expect(answer?.credentials).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(answer?.start).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000$/);
    expect(answer?.uptime).toMatch(/^0d:0h:0m:\d+s$/);
  });

  test("a question without a subject for answers is ignored", async () => {
    await using it = await start();
    bus.publish(componentDiscover, {});
    const [answer] = await bus.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 });
    expect(answer?.uuid).toBe(it.component.uuid);
    expect([...bus.counters]).toEqual([]);
  });

  test("it announces itself again when the bus is back, and answers as before", async () => {
    const hub = createMemoryHub();
    const transport = hub.connect();
    await using theirs = await createBus({ transport: hub.connect() });
    await using ours = await createBus({ transport });
    const heard: string[] = [];
    theirs.subscribe(componentAnnounce, ({ body }) => void heard.push(body.uuid));
    await using component = await createComponent(ours, { type: "X" });
    await expect.poll(() => heard).toEqual([component.uuid]);
    hub.disconnect(transport);
    await expect.poll(() => ours.connected).toBe(false);
    expect(await theirs.gather(componentDiscover, {}, { waitMs: 50 })).toEqual([]);
    hub.reconnect(transport);
    await expect.poll(() => heard, { timeout: 10_000 }).toEqual([component.uuid, component.uuid]);
    expect(await theirs.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 })).toMatchObject([{ uuid: component.uuid }]);
  });

  test("started while the bus is away it announces itself once it is there", async () => {
    const hub = createMemoryHub();
    const transport = hub.connect();
    await using theirs = await createBus({ transport: hub.connect() });
    await using ours = await createBus({ transport });
    const heard: string[] = [];
    theirs.subscribe(componentAnnounce, ({ body }) => void heard.push(body.uuid));
    hub.disconnect(transport);
    await using component = await createComponent(ours, { type: "X" });
    hub.reconnect(transport);
    await expect.poll(() => new Set(heard), { timeout: 10_000 }).toEqual(new Set([component.uuid]));
  });

  test("hidden credentials are neither on the bus nor on the page, and open it all the same", async () => {
    await using it = await start({ credentials: "hidden", password: "geheim", user: "monitor" });
    const [answer] = await bus.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 });
    expect(answer?.credentials).toEqual([]);
    const varz = await it.get("/varz", { headers: { authorization: basic("monitor", "geheim") } });
    expect([varz.status, (await varz.text()).includes("geheim")]).toEqual([200, false]);
  });

  test("an address that stands for every address is not what is told", async () => {
    await using it = await start({ host: "0.0.0.0" });
    const [answer] = await bus.gather(componentDiscover, {}, { waitMs: 2_000, max: 1 });
    expect(answer?.host).toMatch(/^(?!0\.0\.0\.0)[\d.]+:\d+$/);
    // Who registers a route to itself names the same.
    expect(`${it.component.host}:${it.component.port}`).toBe(answer?.host);
  });

  test("it ends once, however often it is told; aborting the signal is one way", async () => {
    const stop = new AbortController();
    const it = await start({ signal: stop.signal });
    stop.abort();
    await it.component[Symbol.asyncDispose]();
    await it.component[Symbol.asyncDispose]();
    await expect(it.get("/healthz")).rejects.toThrow();
    expect(await bus.gather(componentDiscover, {}, { waitMs: 100 })).toEqual([]);
  });

  test("on a closed bus nothing is left listening", async () => {
    const other = await createBus({ transport: memoryTransport() });
    await other[Symbol.asyncDispose]();
    const probe = await listen(() => new Response("x"));
    const { port } = probe;
    await probe[Symbol.asyncDispose]();
    await expect(createComponent(other, { type: "X", port })).rejects.toMatchObject({ code: "BUS_CLOSED" });
    await using again = await listen(() => new Response("x"), { port });
    expect(again.port).toBe(port);
  });

  test("a taken port is a clear error", async () => {
    await using first = await start();
    await expect(createComponent(bus, { type: "X", port: first.component.port })).rejects.toMatchObject({ code: "BUS_PORT_TAKEN", message: expect.stringContaining(String(first.component.port)) });
  });
});

describe("the status page", () => {
  test.each([
    ["none", {}], ["of another", { authorization: basic("u", "q") }], ["of a prefix", { authorization: basic("u", "") }],
    ["of another kind", { authorization: "Bearer u:p" }], ["garbage", { authorization: "Basic %%%" }],
  ] as [string, Record<string, string>][])("credentials %s: 401 on every path, and how to ask", async (_, headers) => {
    await using it = await start({ type: 'Odd "type"' });
    for (const path of ["/varz", "/healthz", "/health", "/metrics", "/", "/nothing"]) {
      const answer = await it.get(path, { headers });
      expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="Odd type"']);
      expect(await answer.text()).toBe("unauthorized\n");
    }
  });

  test("every answer closes its connection; HEAD has the length and no body; other methods and paths say what there is", async () => {
    await using it = await start();
    for (const path of ["/varz", "/healthz", "/metrics", "/nothing"]) expect((await it.get(path)).headers.get("connection")).toBe("close");
    const head = await it.get("/varz", { method: "HEAD" });
    expect([head.status, await head.text(), Number(head.headers.get("content-length")) > 100]).toEqual([200, "", true]);
    const post = await it.get("/varz", { method: "POST", body: "x" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    const missing = await it.get("/nothing");
    expect([missing.status, await missing.text()]).toEqual([404, expect.stringMatching(/\/varz[^]*\/healthz[^]*\/metrics/)]);
  });

  test("/varz: the component's fields, the process, the hook's fields, the configuration without secrets at any depth", async () => {
    const config = {
      port: 1, mbus: "nats://u:p@h", nested: { list: [{ password: "x1", keep: 1 }, "postgres://me:x2@db/cf"], Token: "x3", keys: { a: "x4" } },
      service_mbus: "x5", database_environment: { production: "x6" }, pass: "x7",
    };
    const log = { info() {}, warn() {}, error() {} };
    await using it = await start({ log, index: 2, config, zone: "z", varz: () => ({ urls: 7, type: "Impostor", credentials: ["no"] }) });
    it.component.log.warn("a.b");
    it.component.log.warn("a.c", { x: 1 });
    const text = await (await it.get("/varz")).text();
    expect(JSON.parse(text)).toMatchObject({
      type: "Router", index: 2, uuid: it.component.uuid, credentials: ["u", "p"], urls: 7, zone: "z", uptime: expect.stringMatching(/^0d:0h:0m:\d+s$/),
      num_cores: expect.any(Number), mem: expect.any(Number), cpu: expect.any(Number), log_counts: { debug: 0, info: 0, warn: 2, error: 0 },
      config: { port: 1, nested: { list: [{ keep: 1 }, "postgres://***@db/cf"] } },
    });
    await using silent = await start();
    expect(await (await silent.get("/varz")).json()).not.toHaveProperty("log_counts");
    expect(text).not.toMatch(/x[1-7]|u:p@h/);
    expect(text).toContain("\n  \"type\"");
    expect(config.nested.Token).toBe("x3");
  });

  test("memory and CPU are read at most once a second", async () => {
    let nowMs = 1_000_000;
    await using it = await start({ clock: { now: () => nowMs, after: (ms, run) => { const timer = setTimeout(run, ms); return { [Symbol.dispose]: () => clearTimeout(timer) }; } } });
    const read = async () => (await (await it.get("/varz")).json()) as { mem: number; cpu: number; uptime: string };
    const first = await read();
    const ballast = Buffer.alloc(32 * 1_048_576, 1);
    const soon = await read();
    expect([soon.mem, soon.cpu]).toEqual([first.mem, first.cpu]);
    nowMs += 1_000;
    const later = await read();
    expect(later.mem).toBeGreaterThan(first.mem);
    nowMs += 86_400_000 + 3_600_000 * 2 + 60_000 * 3 + 3_000;
    expect((await read()).uptime).toBe("1d:2h:3m:4s");
    expect(ballast.length).toBeGreaterThan(0);
  });

  test.each([
    ["true", () => true, 200, "ok\n"], ["false", () => false, 503, "not ok\n"], ["later true", () => Promise.resolve(true), 200, "ok\n"],
    ["throws", () => { throw new Error("x"); }, 503, "not ok\n"], ["rejects", () => Promise.reject(new Error("x")), 503, "not ok\n"],
  ] as [string, () => boolean, number, string][])("health %s", async (_, healthy, status, text) => {
    await using it = await start({ healthy });
    for (const path of ["/health", "/healthz"]) {
      const answer = await it.get(path);
      expect([answer.status, await answer.text()]).toEqual([status, text]);
    }
  });

  test("a hook that fails takes nothing else with it", async () => {
    const lines: string[] = [];
    const log = { info() {}, error() {}, warn: (event: string, data?: object) => void lines.push(`${event} ${JSON.stringify(data)}`) };
    await using it = await start({ log, varz: () => { throw new Error("no numbers"); }, metrics: { contentType: "text/plain", metrics: () => Promise.reject(new Error("no metrics")) } });
    expect((await (await it.get("/varz")).json()) as object).toMatchObject({ type: "Router" });
    parseExposition(await (await it.get("/metrics")).text());
    expect(lines.join("\n")).toMatch(/"varz","reason":"no numbers"[^]*"metrics","reason":"no metrics"/);
  });
});

describe("/metrics", () => {
  test("identity, process, bus and log in the exact format", async () => {
    const odd = 'a"b\\c\nd';
    await using it = await start({ version: odd, zone: "z1", log: { info() {}, warn() {}, error() {} } });
    it.component.log.info("x");
    const answer = await it.get("/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const families = parseExposition(await answer.text());
    expect(families.get("opencf_component_info")?.samples).toEqual([{ name: "opencf_component_info", labels: { type: "Router", index: "0", uuid: it.component.uuid, version: odd, zone: "z1" }, value: 1 }]);
    expect(valueOf(families, "opencf_component_healthy")).toBe(1);
    expect(valueOf(families, "opencf_bus_connected")).toBe(1);
    expect(valueOf(families, "opencf_log_lines_total", { level: "info" })).toBe(1);
    expect(families.get("process_cpu_seconds_total")?.type).toBe("counter");
    expect(valueOf(families, "process_resident_memory_bytes")).toBeGreaterThan(10_000_000);
    expect(Math.abs(Number(valueOf(families, "process_start_time_seconds")) - (Date.now() / 1_000 - process.uptime()))).toBeLessThan(5);
  });

  test("what the bus refused, and who reads too slowly", async () => {
    const transport = memoryTransport();
    const own = await createBus({ transport });
    await using _ = own;
    const slow = own.subscribe(componentAnnounce, { maxPending: 2 });
    await using it = await createComponent(own, { type: "X", user: "u", password: "p", subscriptions: { announcements: slow } });
    for (let i = 0; i < 4; i++) own.publish(componentAnnounce, { type: "Y", index: i, uuid: `${i}-a`, host: "h:1", credentials: ["a", "b"], start: "now" });
    await expect.poll(() => slow.dropped).toBe(3);
    const families = parseExposition(await (await fetch(`http://127.0.0.1:${it.port}/metrics`, { headers: { authorization: basic("u", "p") } })).text());
    expect(valueOf(families, "opencf_bus_pending_messages", { subscription: "announcements" })).toBe(2);
    expect(valueOf(families, "opencf_bus_dropped_messages_total", { subscription: "announcements" })).toBe(3);
    for (const [key, count] of own.counters) {
      const [subject = "", reason = ""] = key.split(" ");
      expect(valueOf(families, "opencf_bus_events_total", { subject, reason })).toBe(count);
    }
  });

  test("metrics of one's own stand beside; a name that a registry has already is its own", async () => {
    const metrics = createMetrics();
    metrics.counter("jobs_total", { help: "Jobs.", labels: ["queue"] }).inc({ queue: 'q"1' }, 3);
    await using it = await start({ metrics });
    expect(valueOf(parseExposition(await (await it.get("/metrics")).text()), "jobs_total", { queue: 'q"1' })).toBe(3);
    const registry = { contentType: "text/plain; version=0.0.4; charset=utf-8", metrics: () => Promise.resolve("# HELP process_resident_memory_bytes RSS\n# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 5") };
    await using like = await start({ metrics: registry });
    expect(valueOf(parseExposition(await (await like.get("/metrics")).text()), "process_resident_memory_bytes")).toBe(5);
    await using modern = await start({ metrics: { contentType: "application/openmetrics-text; version=1.0.0", metrics: () => "x_total 1\n# EOF\n" } });
    expect(parseExposition(await (await modern.get("/metrics")).text()).has("x_total")).toBe(false);
  });
});

describe("the listener", () => {
  test.each([
    ["a body that is too large", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + "x".repeat(100), /^HTTP\/1\.1 413 /],
    ["a target that is none", "GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["a head that does not end", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", /^HTTP\/1\.1 408 /],
    ["an answer that does not come", "GET /hang HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 503 /],
    ["a handler that throws", "GET /throw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 500 [^]*internal error\n$/],
  ])("%s", async (_, raw, wanted) => {
    await using http = await listen((asked) => {
      if (asked.url.endsWith("/throw")) throw new Error("secret");
      return asked.url.endsWith("/hang") ? new Promise<Response>(() => undefined) : new Response("x");
    }, { maxBodyBytes: 50, timeoutMs: 300 });
    const socket = connect(http.port, "127.0.0.1");
    let got = "";
    socket.setEncoding("utf8").on("data", (part: string) => (got += part)).on("error", () => undefined);
    socket.write(raw);
    await expect.poll(() => got, { timeout: 10_000 }).toMatch(wanted);
    socket.destroy();
  });

  test("it ends although somebody keeps a connection open", async () => {
    const http = await listen(() => new Response("x"));
    const idle = connect(http.port, "127.0.0.1").on("error", () => undefined);
    await new Promise((done) => idle.once("connect", done));
    const half = request({ port: http.port, method: "POST", headers: { "content-length": 10 } }).on("error", () => undefined);
    half.write("x");
    await Promise.race([http[Symbol.asyncDispose](), wait(5_000).then(() => { throw new Error("it did not end"); })]);
    idle.destroy();
    half.destroy();
  });
});
