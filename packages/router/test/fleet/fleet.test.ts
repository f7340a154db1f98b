import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createFleet } from "../../src/cli/fleet/view.ts";
import { createLink, type Link } from "../../src/cli/fleet/link.ts";
import { tellFleet } from "../../src/cli/fleet/answer.ts";
import type { Channel } from "../../src/cli/fleet/protocol.ts";
import { createNumbers } from "../../src/numbers.ts";
import { quantilesOf } from "../../src/numbers/latency.ts";
import type { RequestRecord } from "../../src/proxy/record.ts";
import { mergeReports, remainsOf } from "../../src/status/merge.ts";
import type { RouterReport } from "../../src/status/report.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

/** Two ends of what a process has to another: text goes over, a moment later. `lost` swallows what is said. */
function channels(): { near: Channel; far: Channel; lose(): void; sent(): number } {
  const heard: ((message: unknown) => void)[][] = [[], []];
  let lost = false;
  let sent = 0;
  const end = (own: number): Channel => ({
    send(message) {
      sent += 1;
      const text = JSON.stringify(message);
      if (!lost) setImmediate(() => heard[1 - own]?.forEach((hear) => hear(JSON.parse(text))));
    },
    onMessage: (hear) => void heard[own]?.push(hear),
  });
  return { near: end(0), far: end(1), lose: () => { lost = true; }, sent: () => sent };
}

function linkTo(router: Rig["router"]): { link: Link; lose(): void; sent(): number } {
  const { near, far, lose, sent } = channels();
  tellFleet(far, router.view);
  return { link: createLink(near), lose, sent };
}

const record = (status: number, totalMs: number, app: string): RequestRecord => ({
  method: "GET", host: "a", target: "/", httpVersion: "1.1", route: "a", endpoint: { address: "10.0.0.1:1", app, instanceId: "", instanceIndex: "", tags: { component: "dea" } }, status, bytesIn: 1, bytesOut: 2,
  requestId: "", peer: "", forwardedFor: "", forwardedProto: "", referer: "", userAgent: "", error: undefined, truncated: undefined, attempts: 1, failedAttempts: 0, upgraded: false, wantedUpgrade: false, receivedAtMs: 0,
  timings: { totalMs, routerMs: 1, appMs: 9, appHeadersMs: 8, failedAttemptsMs: 0, queueMs: 1, connectMs: undefined, dnsMs: undefined, dialMs: undefined, tlsMs: undefined },
  localAddress: "", header: () => undefined,
}) as Partial<RequestRecord> as RequestRecord;

function reportOf(records: readonly RequestRecord[], more: Partial<RouterReport> = {}): RouterReport {
  const numbers = createNumbers(() => 1_000);
  for (const each of records) numbers.count(each);
  return {
    ...numbers.report(), id: "r", index: 0, host: "", state: "healthy", healthy: true, startedAtMs: 0, nowMs: 1_000, durations: { router: numbers.durations.router.read(), total: numbers.durations.total.read() }, logCounts: {},
    counters: { droppedLogLines: 1, refusedRetries: 2, refusedWaiting: 3, timedOutWaiting: 4 }, levels: { requests: 1, tunnels: 0, waiting: 1, cpu: 0.5, residentBytes: 10, openFiles: 5 }, maxRssKib: 7,
    table: { routes: 3, addresses: 2, sinceUpdateMs: 100 }, appsCounted: 1, sources: { nats: { added: 5, pending_messages: 1 }, edge: { refused_handshakes: 2 } }, ...more,
  };
}

describe("sums", () => {
  test("what several routers counted is as if one had counted it all, in whichever order they are added", () => {
    const one = fc.record({ status: fc.constantFrom(200, 301, 404, 502), ms: fc.integer({ min: 0, max: 20_000 }), app: fc.constantFrom("x", "y", ""), at: fc.integer({ min: 0, max: 2 }) });
    fc.assert(fc.property(fc.array(one, { maxLength: 60 }), (requests) => {
      const parts = [0, 1, 2].map((at) => reportOf(requests.filter((each) => each.at === at).map(({ status, ms, app }) => record(status, ms, app))));
      const whole = reportOf(requests.map(({ status, ms, app }) => record(status, ms, app)));
      const comparable = (report: RouterReport) => ({
        counters: report.total.counters, components: Object.entries(report.components).map(([name, held]) => [name, held.counters]), counts: [report.durations.total.counts, report.durations.total.count],
        busiest: [...report.busiest].sort((x, y) => (x.app < y.app ? -1 : 1)), quantiles: quantilesOf(report.total.latency),
      });
      for (const order of [[0, 1, 2], [2, 0, 1]]) {
        const sum = order.map((at) => parts[at] as RouterReport).reduce(mergeReports);
        expect(comparable(sum)).toEqual(comparable(whole));
      }
    }));
  });

  test("what each has alike counts once, what it has for itself is added; of one that is gone stays what it has counted", () => {
    const sum = mergeReports(reportOf([record(200, 5, "x")]), reportOf([], { sources: { nats: { added: 6, pending_messages: 2 }, edge: { refused_handshakes: 1 }, file: { reloads: 1 } }, table: { routes: 4, addresses: 2, sinceUpdateMs: -1 } }));
    expect(sum).toMatchObject({
      table: { routes: 4, addresses: 2, sinceUpdateMs: 100 }, sources: { nats: { added: 6, pending_messages: 3 }, edge: { refused_handshakes: 3 }, file: { reloads: 1 } },
      counters: { droppedLogLines: 2, refusedRetries: 4, refusedWaiting: 6, timedOutWaiting: 8 }, levels: { requests: 2, waiting: 2, cpu: 1 }, total: { counters: { requests: 1 } },
    });
    const rest = remainsOf(sum);
    expect(rest).toMatchObject({ healthy: false, total: { counters: { requests: 1 }, rate: [0, 0, 0], latency: [] }, levels: { requests: 0, waiting: 0, cpu: 0 }, table: { routes: 0, sinceUpdateMs: -1 }, busiest: [] });
    expect(rest.sources).toEqual({ nats: {}, edge: { refused_handshakes: 3 }, file: {} });
  });
});

describe("a fleet", () => {
  test("of routers tells what they tell together; one that is silent is named and not waited for twice; what it told before counts on", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using one = await rig();
    await using two = await rig();
    for (const each of [one, two]) each.serve([{ host: app.host, port: app.port, app: "guid" }]);
    const fleet = createFleet(3, { gatherTimeoutMs: 1_000, healthTimeoutMs: 1_000 });
    expect(await fleet.view.health()).toMatchObject({ healthy: false, state: "starting" });
    expect((await fleet.view.numbers()).workers?.map(({ state }) => state)).toEqual(["dead", "dead", "dead"]);
    await expect(fleet.view.routes()[Symbol.asyncIterator]().next()).rejects.toThrow("no worker answers");
    const [first, second] = [linkTo(one.router), linkTo(two.router)];
    fleet.joined(1, 11, first.link);
    fleet.joined(2, 12, second.link);
    for (const { port, count } of [{ port: one.port, count: 3 }, { port: two.port, count: 4 }]) for (let n = 0; n < count; n += 1) await ask(port);
    await eventually(async () => (await fleet.view.numbers()).total.counters.requests === 7);
    const appsOf = async (): Promise<number> => {
      let sum = 0;
      for await (const piece of fleet.view.apps()) for (const { responses } of piece) sum += responses[1] ?? 0;
      return sum;
    };
    expect(await appsOf()).toBe(7);
    const { rows, count } = await fleet.view.rows("app");
    expect([count, rows.map(({ route, requests, endpoints, apps, responses }) => ({ route, requests, endpoints, apps, ok: responses["2xx"] }))]).toEqual([1, [{ route: "app.example.com", requests: 7, endpoints: 1, apps: ["guid"], ok: 7 }]]);

    second.lose();
    const silent = await fleet.view.numbers();
    expect(silent.workers).toEqual([{ worker: 1, pid: 11, state: "healthy" }, { worker: 2, pid: 12, state: "silent" }, { worker: 3, pid: 0, state: "dead" }]);
    expect(silent).toMatchObject({ healthy: true, state: "healthy", total: { counters: { requests: 7 } } });
    // A few times over, which would take as many seconds if each waited its whole time.
    const begun = performance.now();
    for (let n = 0; n < 5; n += 1) expect((await fleet.view.health()).healthy).toBe(true);
    expect(performance.now() - begun).toBeLessThan(4_500);
    expect(await appsOf()).toBe(7);

    fleet.left(2);
    expect((await fleet.view.numbers()).total.counters.requests).toBe(7);
    expect(await appsOf()).toBe(7);
    fleet.drain();
    expect(await fleet.view.health()).toMatchObject({ healthy: false, state: "draining" });
  });

  test("a large table comes in pieces, one at a time; who leaves in between ends it at the worker as well; a worker that dies within it is no answer", async () => {
    await using r = await rig();
    for (let at = 0; at < 1_000; at += 1) r.router.table.register(`r${at}.example.com`, { host: "10.0.0.1", port: 80 });
    const fleet = createFleet(1);
    const { link, sent } = linkTo(r.router);
    fleet.joined(1, 1, link);
    let text = "";
    let pieces = 0;
    for await (const piece of fleet.view.routes()) { text += piece; pieces += 1; }
    expect(pieces).toBeGreaterThan(4);
    expect(Object.keys(JSON.parse(text) as object)).toHaveLength(1_000);

    const before = sent();
    for await (const piece of fleet.view.routes()) { expect(piece).toMatch(/^\{"r/); break; }
    // Health: question, answer, more, end. Routes: question, piece, stop.
    await eventually(() => sent() - before === 7);

    const cut = fleet.view.routes()[Symbol.asyncIterator]();
    await cut.next();
    fleet.left(1);
    await expect(cut.next()).rejects.toThrow("does not answer");
  });
});
