import { createBus, memoryTransport } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { codes, startLogs, type LogsOptions } from "../../logs/index.ts";
import { temporaryFolder, until } from "../support/bundle.ts";

const app = "3d6c3b5e-0f5c-4b3e-8f0a-2a7f5a1f0c11";
const tags = { source_type: "APP/PROC/WEB", process_type: "web", app_name: "shop" };
const stamp = (n: number) => String(1_714_550_000_000_000_000n + BigInt(n) * 1_000_000_000n);
const line = (n: number, payload: string, source_id = app) => ({ source_id, instance_id: "0", timestamp: stamp(n), tags, type: n % 2 ? ("ERR" as const) : ("OUT" as const), payload });

async function running(options: Partial<LogsOptions> = {}) {
  const bus = await createBus({ transport: memoryTransport() });
  const asked: string[] = [];
  const state = { allow: true, down: false };
  const logs = await startLogs({
    bus,
    async mayRead(sourceId, token) {
      asked.push(`${sourceId} ${token}`);
      await Promise.resolve();
      if (state.down) throw new Error("no controller");
      return state.allow && token === "good" && sourceId === app;
    },
    ...options,
  });
  const get = (path: string, authorization = "bearer good", init: RequestInit = {}) => fetch(logs.url + path, { ...init, headers: { ...(authorization && { authorization }), ...(init.headers as object) } });
  return {
    bus, logs, asked, state, get,
    say: (...lines: ReturnType<typeof line>[]) => bus.publish(logEnvelopes, { envelopes: lines }),
    async batch(query: string) {
      const response = await get(`/api/v1/read/${app}?${query}`);
      return ((await response.json()) as { envelopes: { batch: { timestamp: string; log: { payload: string; type: string } }[] } }).envelopes.batch;
    },
    async [Symbol.asyncDispose]() {
      await logs[Symbol.asyncDispose]();
      await logs[Symbol.asyncDispose]();
      await bus[Symbol.asyncDispose]();
    },
  };
}
const text = (batch: { log: { payload: string } }[]) => batch.map(({ log }) => Buffer.from(log.payload, "base64").toString());

describe("log-cache API", () => {
  test("info is open and says a version that clients compare", async () => {
    await using at = await running();
    const response = await at.get("/api/v1/info", "");
    expect(await response.json()).toEqual({ version: expect.stringMatching(/^2\.\d+\.\d+$/), vm_uptime: expect.stringMatching(/^\d+$/) });
    expect(await (await at.get("/healthz", "")).text()).toBe("ok");
  });

  test("an envelope has exactly the fields that a strict reader knows", async () => {
    await using at = await running();
    at.say(line(1, "hello\n"));
    const found = await until(async () => (await at.batch("")).length > 0 && at.batch(""));
    expect(found).toEqual([
      { timestamp: stamp(1), source_id: app, instance_id: "0", tags, log: { payload: Buffer.from("hello\n").toString("base64"), type: "ERR" } },
    ]);
    at.logs.append([{ source_id: app, instance_id: "1", timestamp: stamp(2), tags: {}, gauge: { cpu: { unit: "percentage", value: 1.5 } } }]);
    expect(await at.batch("envelope_types=GAUGE")).toEqual([
      { timestamp: stamp(2), source_id: app, instance_id: "1", tags: {}, gauge: { metrics: { cpu: { unit: "percentage", value: 1.5 } } } },
    ]);
  });

  test("what the cf client asks", async () => {
    await using at = await running();
    await at.logs.ready;
    expect(await at.batch("descending=true&envelope_types=LOG&limit=1&start_time=-6795364578871345152")).toEqual([]);
    at.logs.append(Array.from({ length: 1_500 }, (_, i) => line(i, `${i}`)));
    const recent = await at.batch("descending=true&envelope_types=LOG&limit=1000&start_time=-6795364578871345152");
    expect(text(recent)).toEqual(Array.from({ length: 1_000 }, (_, i) => `${1_499 - i}`));
    expect(text(await at.batch("descending=true&envelope_types=LOG&limit=1&start_time=-6795364578871345152"))).toEqual(["1499"]);
    const walk = await at.batch(`envelope_types=LOG&start_time=${BigInt(stamp(1_498)) - 1n}`);
    expect(text(walk)).toEqual(["1498", "1499"]);
    expect(await at.batch(`envelope_types=LOG&start_time=${BigInt(stamp(1_499)) + 1n}`)).toEqual([]);
    expect(text(await at.batch(`start_time=${stamp(3)}&end_time=${stamp(5)}`))).toEqual(["3", "4"]);
    expect(text(await at.batch(""))).toHaveLength(100);
    expect(await at.batch("envelope_types=COUNTER&envelope_types=TIMER")).toEqual([]);
    expect(text(await at.batch("envelope_types=ANY&limit=2"))).toEqual(["0", "1"]);
    const old = await at.get(`/v1/read/${app}?limit=1`);
    expect(old.status).toBe(200);
  });

  test.each(["limit=1001", "limit=-1", "limit=x", "start_time=now", "end_time=1e5", "descending=maybe", "envelope_types=LOGS", "start_time=5&end_time=4", "limit=999999999999999999999"])(
    "refuses %s",
    async (query) => {
      await using at = await running();
      const response = await at.get(`/api/v1/read/${app}?${query}`);
      expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([400, "LOG_QUERY_INVALID"]);
    },
  );

  test("who may not read sees nothing, not even that there is something", async () => {
    await using at = await running();
    at.logs.append([line(1, "secret"), line(1, "other", "another-app")]);
    const rows: [string, string, number][] = [
      [`/api/v1/read/${app}`, "", 404],
      [`/api/v1/read/${app}`, "bearer bad", 404],
      [`/api/v1/read/${app}`, "Basic Z29vZA==", 404],
      [`/api/v1/read/${app}`, "bearer", 404],
      [`/api/v1/read/another-app`, "bearer good", 404],
      [`/api/v1/read/unknown`, "bearer good", 404],
      [`/api/v1/read/${app}`, "BEARER good", 200],
      [`/api/v1/stream/${app}`, "bearer bad", 404],
      [`/api/v1/read/%E0%A4%A`, "bearer good", 400],
      [`/api/v1/read/`, "bearer good", 404],
      [`/elsewhere`, "bearer good", 404],
    ];
    for (const [path, authorization, status] of rows) expect([path, authorization, (await at.get(path, authorization)).status]).toEqual([path, authorization, status]);
    expect(await (await at.get("/api/v1/meta")).json()).toEqual({ meta: { [app]: { count: "1", expired: "0", oldestTimestamp: stamp(1), newestTimestamp: stamp(1) } } });
    expect(await (await at.get("/api/v1/meta", "bearer bad")).json()).toEqual({ meta: {} });
    expect((await at.get(`/api/v1/read/${app}`, "bearer good", { method: "DELETE" })).status).toBe(405);
  });

  test("the controller is not asked for every poll, and its absence is not the reader's fault", async () => {
    let nowMs = Date.now();
    await using at = await running({ clock: { now: () => nowMs } });
    await Promise.all(Array.from({ length: 20 }, () => at.batch("")));
    expect(at.asked).toHaveLength(1);
    at.state.down = true;
    nowMs += 11_000;
    const response = await at.get(`/api/v1/read/${app}`);
    expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([503, "LOG_ACCESS_UNKNOWN"]);
    at.state.down = false;
    expect((await at.get(`/api/v1/read/${app}`)).status).toBe(200);
  });

  test("a restart keeps the lines", async () => {
    await using folder = await temporaryFolder();
    const first = await running({ dataDir: folder.path });
    await first.logs.ready;
    first.logs.append([line(1, "before")]);
    await first[Symbol.asyncDispose]();
    await using second = await running({ dataDir: folder.path });
    second.say(line(2, "after"));
    await until(async () => (await second.batch("")).length === 2);
    expect(text(await second.batch(""))).toEqual(["before", "after"]);
  });
});

describe("server-sent events", () => {
  async function* events(response: Response): AsyncGenerator<string> {
    let rest = "";
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const parts = (rest + chunk).split("\n\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  }

  test("follow from a point, live, and go on after Last-Event-ID", async () => {
    await using at = await running();
    at.logs.append([line(1, "one"), line(2, "two")]);
    const abort = new AbortController();
    const stream = events(await at.get(`/api/v1/stream/${app}?start_time=${stamp(2)}&envelope_types=LOG`, "bearer good", { signal: abort.signal }));
    expect((await stream.next()).value).toBe("retry: 1000");
    expect((await stream.next()).value).toMatch(new RegExp(`^id: ${stamp(2)}\ndata: \\{"batch":\\[`));
    at.logs.append([line(3, "three")]);
    expect((await stream.next()).value).toContain(Buffer.from("three").toString("base64"));
    abort.abort();
    const again = new AbortController();
    const resumed = events(await at.get(`/api/v1/stream/${app}`, "bearer good", { signal: again.signal, headers: { "last-event-id": stamp(2) } }));
    await resumed.next();
    expect((await resumed.next()).value).toMatch(new RegExp(`^id: ${stamp(3)}\n`));
    again.abort();
  });

  test("ends when the right to read ends", async () => {
    let nowMs = Date.now();
    const { createBus: make } = await import("@opencf/bus");
    await using bus = await make({ transport: memoryTransport() });
    const { startLogServer } = await import("../../logs/server.ts");
    const { createLogStore } = await import("../../logs/index.ts");
    let allow = true;
    await using server = await startLogServer({ store: createLogStore(), mayRead: () => Promise.resolve(allow), recheckMs: 20, clock: { now: () => nowMs++ } });
    const response = await fetch(`${server.url}/api/v1/stream/x`, { headers: { authorization: "bearer t" } });
    allow = false;
    const all: string[] = [];
    for await (const event of events(response)) all.push(event);
    expect(all).toEqual(["retry: 1000"]);
    expect(bus.connected).toBe(true);
  });

  test("a reader that does not read is told what it missed, and costs bounded memory", { timeout: 60_000 }, async () => {
    await using at = await running();
    const response = await at.get(`/api/v1/stream/${app}`);
    await at.logs.ready;
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 300; i += 1) {
      at.logs.append(Array.from({ length: 100 }, (_, n) => line(i * 100 + n, "x".repeat(1_000))));
      if (i % 10 === 0) await new Promise(setImmediate);
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 1024 * 1024);
    let dropped = 0;
    let received = 0;
    let woken = 0;
    const wake = setInterval(() => at.logs.append([line((woken += 1), "wake", app)]), 20);
    const stream = events(response);
    for await (const event of stream) {
      if (event.startsWith("event: dropped")) dropped += Number(/"count":(\d+)/.exec(event)?.[1]);
      else if (event.includes(Buffer.from("wake").toString("base64"))) break;
      else if (event.startsWith("id:")) received += 1;
    }
    clearInterval(wake);
    // Every line was either delivered or counted.
    expect(dropped).toBeGreaterThan(0);
    expect(received + dropped).toBeGreaterThanOrEqual(30_000);
    expect(received + dropped).toBeLessThanOrEqual(30_000 + woken);
  });
});

test("every error code is explained", async () => {
  const page = await readFile(new URL("../../../../docs/errors/paas-logs.md", import.meta.url), "utf8");
  for (const code of codes) expect(page).toContain(`| \`${code}\` |`);
});
