import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBus, createMemoryHub, memoryTransport } from "@opencf/bus";
import { routerRegister } from "@opencf/bus/messages/route";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { routesFromBus } from "../src/bus-link.ts";
import { createRouter, createRouteTable, type Logger } from "../src/index.ts";
import { writeTable } from "../src/saved/table-file.ts";
import { savedRoutes } from "../src/saved-routes.ts";
import { httpBackend } from "./fixtures/backend.ts";
import { ask, eventually } from "./fixtures/client.ts";
import { manualClock } from "./fixtures/rig.ts";

let folder = "";
let files = 0;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), "opencf-saved-")); });
afterAll(() => rm(folder, { recursive: true, force: true }));
const fresh = (): string => join(folder, `table-${files += 1}`);

const id = "0-x";
const quiet: Logger = { info() {}, warn() {}, error() {} };

/** A source at work on a table of its own. */
async function restored(file: string, { clock = manualClock(), log = quiet, ...more }: { clock?: ReturnType<typeof manualClock>; log?: Logger } & Partial<Parameters<typeof savedRoutes>[0]> = {}) {
  const table = createRouteTable({ clock });
  const source = await savedRoutes({ file, saveEveryMs: 0, ...more }).start({ table, routerId: id, log, clock });
  return { table, source, clock };
}

describe("a table that outlives its router", () => {
  test("comes back with everything that was registered by repetition, and with nothing else", async () => {
    const file = fresh();
    const one = await restored(file);
    one.table.register("a.example.com/x", { host: "10.0.0.1", port: 80, app: "g", instanceId: "i", instanceIndex: "2", tags: { component: "c" }, staleAfterMs: 120_000, availabilityZone: "z", source: "bus" }, { loadBalancing: "least-connections" });
    one.table.register("a.example.com", { host: "10.0.0.2", tlsPort: 443, serverCertDomainSan: "i", staleAfterMs: 120_000, source: "bus" });
    one.table.register("*.example.com", { host: "::1", port: 80, staleAfterMs: 60_000, source: "bus" });
    one.table.register("fixed.example.com", { host: "10.0.0.3", port: 80, source: "file x" });
    await one.source[Symbol.asyncDispose]();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const other = await restored(file);
    const plain = (table: typeof one.table) => table.snapshot().filter(({ route }) => route !== "fixed.example.com").map(({ route, options, endpoints }) => ({ route, options, endpoints: endpoints.map(({ lastSeenMs: _, backend, ...rest }) => ({ ...rest, tls: backend.tls, name: backend.serverName })) }))
      .sort((x, y) => (x.route < y.route ? -1 : 1));
    expect(plain(other.table)).toEqual(plain(one.table));
    expect(other.table.route("fixed.example.com")).toBeUndefined();
    expect(other.source.numbers?.()).toMatchObject({ restored: 3, unconfirmed: 3 });
  });

  test("its endpoints are unconfirmed until somebody registers them, and leave when nobody does; others stay their whole time", async () => {
    const file = fresh();
    const one = await restored(file);
    const endpoint = (host: string) => ({ host, port: 80, staleAfterMs: 120_000, source: "bus" });
    one.table.register("a.com", endpoint("10.0.0.1"));
    one.table.register("a.com", endpoint("10.0.0.2"));
    one.table.register("a.com", { host: "10.0.0.3", tlsPort: 443, staleAfterMs: 120_000, source: "bus" });
    await one.source[Symbol.asyncDispose]();
    const { table, source, clock } = await restored(file, { confirmWithinMs: 60_000 });
    const waiting = (): string[] => (table.route("a.com")?.endpoints ?? []).filter((each) => source.isUnconfirmed?.("a.com", each) === true).map(({ address }) => address);
    expect(waiting()).toEqual(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:443"]);
    // In the very millisecond of the start, too.
    table.register("a.com", endpoint("10.0.0.1"));
    expect(waiting()).toEqual(["10.0.0.2:80", "10.0.0.3:443"]);
    clock.advance(30_000);
    expect(table.prune({ source: "bus" })).toBe(0);
    clock.advance(100_000);
    expect(table.prune({ source: "bus" })).toBe(2);
    expect(table.route("a.com")?.endpoints.map(({ address }) => address)).toEqual(["10.0.0.3:443"]);
    expect(source.numbers?.()).toMatchObject({ unconfirmed: 1 });
    // Changed is confirmed as well.
    table.register("a.com", { host: "10.0.0.3", tlsPort: 443, staleAfterMs: 120_000, source: "bus", app: "new" });
    expect([waiting(), source.numbers?.()["unconfirmed"]]).toEqual([[], 0]);
    await source[Symbol.asyncDispose]();
  });

  test("an endpoint that had been silent for long has its time to be confirmed, and no more", async () => {
    const file = fresh();
    const one = await restored(file);
    one.table.register("a.com", { host: "10.0.0.1", port: 80, staleAfterMs: 120_000 });
    one.clock.advance(119_000);
    await one.source[Symbol.asyncDispose]();
    const { table, clock } = await restored(file, { clock: one.clock, confirmWithinMs: 60_000 });
    clock.advance(59_000);
    expect(table.prune()).toBe(0);
    clock.advance(2_000);
    expect(table.prune()).toBe(1);
  });

  test("a file that is old, cut, changed, of another kind or another version gives nothing that harms", async () => {
    const file = fresh();
    const one = await restored(file);
    for (let at = 0; at < 20; at += 1) one.table.register(`r${at}.com`, { host: "10.0.0.1", port: 80, staleAfterMs: 120_000 });
    await one.source[Symbol.asyncDispose]();
    const whole = await readFile(file, "utf8");
    const told: string[] = [];
    const log: Logger = { info() {}, error() {}, warn: (_, data) => void told.push((data as { why: string }).why) };
    const old = manualClock(one.clock.now() + 700_000);
    expect((await restored(file, { clock: old, log })).table.routeCount).toBe(0);
    const back = manualClock(one.clock.now() - 700_000);
    expect((await restored(file, { clock: back, log })).table.routeCount).toBe(0);
    const tryText = async (text: string): Promise<number> => {
      await writeFile(file, text);
      return (await restored(file, { log })).table.routeCount;
    };
    expect(await tryText(whole.replace("\"version\":1", "\"version\":2"))).toBe(0);
    expect(await tryText("")).toBe(0);
    expect(await tryText("[]\n")).toBe(0);
    expect(await tryText(whole.split("\n").slice(0, 8).join("\n"))).toBe(7);
    expect(told).toEqual(["too old", "too old", "of another version", "damaged", "damaged", "damaged"]);
    expect((await restored(join(folder, "nowhere"), { log })).table.routeCount).toBe(0);
    expect(told).toHaveLength(6);
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: whole.length - 1 }), fc.string({ maxLength: 5 }), async (at, stuff) => {
      await writeFile(file, whole.slice(0, at) + stuff + whole.slice(at + stuff.length));
      const { table } = await restored(file);
      expect(table.routeCount).toBeLessThanOrEqual(20);
      for (const { endpoints } of table.snapshot()) for (const each of endpoints) expect([typeof each.address, typeof each.staleAfterMs]).toEqual(["string", "number"]);
    }), { numRuns: 60 });
  });

  test("the file is whole at every moment, and nothing is left beside it; a folder that is gone is said once", async () => {
    const file = fresh();
    const table = createRouteTable();
    for (let at = 0; at < 3_000; at += 1) table.register(`r${at}.com`, { host: "10.0.0.1", port: 80, staleAfterMs: 120_000 });
    await writeTable(file, table.snapshot(), 1);
    let running = true;
    const looking = (async () => {
      let looks = 0;
      for (; running; looks += 1) {
        const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
        expect([lines.length, lines.at(-1)]).toEqual([3_002, "{\"endpoints\":3000}"]);
      }
      return looks;
    })();
    for (let at = 0; at < 15; at += 1) expect(await writeTable(file, table.snapshot(), at)).toBe(3_000);
    running = false;
    expect(await looking).toBeGreaterThan(0);
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    const errors: string[] = [];
    const clock = manualClock();
    const { source } = await restored(join(folder, "no", "such", "folder"), { clock, log: { ...quiet, error: (event) => void errors.push(event) }, saveEveryMs: 1_000 });
    for (let at = 0; at < 3; at += 1) {
      clock.advance(1_000);
      await eventually(() => source.numbers?.()["save_failures"] === at + 1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await source[Symbol.asyncDispose]();
    expect(errors).toEqual(["router.saved.failed"]);
  });

  test("is saved now and then, so that even a router that is killed leaves one", async () => {
    const file = fresh();
    const { table, clock, source } = await restored(file, { saveEveryMs: 30_000 });
    table.register("a.com", { host: "10.0.0.1", port: 80, staleAfterMs: 120_000 });
    clock.advance(30_000);
    await eventually(() => source.numbers?.()["saved"] === 1);
    expect((await restored(file, { clock })).table.routeCount).toBe(1);
    await source[Symbol.asyncDispose]();
  });

  test("options that make no sense are refused", () => {
    for (const options of [{ file: "" }, { file: "x", maxAgeMs: 0 }, { file: "x", saveEveryMs: -1 }, { file: "x", confirmWithinMs: 0.5 }]) {
      expect(() => savedRoutes(options)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
    }
  });
});

describe("a router that starts again", () => {
  test("serves at once while the bus is silent, without the whole start delay once somebody is heard; routes say what they are", async () => {
    await using app = await httpBackend((_, response) => response.end("still here"));
    const file = fresh();
    const hub = createMemoryHub();
    await using speaker = await createBus({ transport: memoryTransport(hub) });
    const registration = { host: "127.0.0.1", port: app.port, uris: ["app.example.com"], app: "guid" };
    const start = async (startDelayMs: number) => {
      const bus = await createBus({ transport: memoryTransport(hub) });
      const router = createRouter({ port: 0, startDelayMs, sources: [savedRoutes({ file }), routesFromBus(bus)], status: { port: 0 } });
      return { router, bus, async [Symbol.asyncDispose]() { await router[Symbol.asyncDispose](); await bus[Symbol.asyncDispose](); } };
    };
    {
      await using first = await start(0);
      await first.router.listen();
      speaker.publish(routerRegister, registration);
      await eventually(() => first.router.table.routeCount === 1);
    }
    await using second = await start(60_000);
    const listening = second.router.listen();
    await eventually(() => second.router.statusAddress !== undefined && second.router.table.routeCount === 1);
    const routes = async () => JSON.parse((await ask(second.router.statusAddress?.port ?? 0, { path: "/routes" })).body) as Record<string, { unconfirmed?: boolean }[]>;
    expect((await routes())["app.example.com"]?.[0]?.unconfirmed).toBe(true);
    expect((await ask(second.router.statusAddress?.port ?? 0, { path: "/" })).body).toContain("1 unconfirmed");
    speaker.publish(routerRegister, registration);
    const { port } = await listening;
    expect((await ask(port)).body).toBe("still here");
    expect((await routes())["app.example.com"]?.[0]?.unconfirmed).toBeUndefined();
  });

  test("that may not write where it should still runs and ends", async () => {
    const locked = join(folder, `locked-${files += 1}`);
    await mkdir(locked);
    await chmod(locked, 0o500);
    const router = createRouter({ port: 0, sources: [savedRoutes({ file: join(locked, "no", "table") })] });
    await router.listen();
    await router.drain();
    expect(router.state).toBe("stopped");
    await chmod(locked, 0o700);
  });
});
