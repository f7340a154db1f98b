import { createBus, memoryTransport, type Body } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages/log";
import { routerActiveApps, routerRegister, routerUnregister } from "@opencf/bus/messages/route";
import { expect, test } from "vitest";
import { logToApps, publishActiveApps } from "../src/bus.ts";
import { routesFromBus } from "../src/bus-link.ts";
import { httpBackend } from "./fixtures/backend.ts";
import { ask, eventually } from "./fixtures/client.ts";
import { manualClock, rig } from "./fixtures/rig.ts";

type Envelope = Body<typeof logEnvelopes>["envelopes"][number];

test("apps that had requests are named on the bus, each once a round, and nobody in a round without any", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const heard: string[][] = [];
  bus.subscribe(routerActiveApps, ({ body }) => void heard.push([...body].sort()));
  await using app = await httpBackend((_, response) => response.end());
  await using r = await rig();
  for (const name of ["one", "two"]) r.serve([{ host: app.host, port: app.port, app: "guid" }], `${name}.example.com`);
  r.serve([{ host: "127.0.0.1", port: app.port }], "none.example.com");
  using _ = publishActiveApps(bus, r.router, { everyMs: 20 });
  for (const host of ["one.example.com", "two.example.com", "none.example.com", "nobody.example.com"]) await ask(r.port, { host });
  await eventually(() => heard.length > 0);
  await ask(r.port, { host: "one.example.com" });
  await eventually(() => heard.length > 1);
  expect(heard.every((apps) => apps.length === 1 && apps[0] === "guid")).toBe(true);
  // One message for each round that had requests, and there were at most five requests with an app.
  expect(heard.length).toBeLessThanOrEqual(3);
  expect(() => publishActiveApps(bus, r.router, { everyMs: 0 })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
});

test("13.107 the log of an app gets its lines as RTR, with the labels of the endpoint; what has no app goes to no such log", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const heard: Envelope[] = [];
  bus.subscribe(logEnvelopes, ({ body }) => void heard.push(...body.envelopes));
  await using app = await httpBackend((_, response) => response.end("hello"));
  const target = logToApps(bus, { index: 4, everyMs: 10 });
  await using r = await rig({ accessLog: target });
  r.serve([{ host: app.host, port: app.port, app: "guid", tags: { process_type: "web" } }]);
  await ask(r.port, { path: "/x" });
  await ask(r.port, { host: "nobody.example.com" });
  await ask(r.port, { path: "/y" });
  await eventually(() => heard.length === 2);
  expect(heard).toEqual(["/x", "/y"].map((path) => ({
    source_id: "guid", instance_id: "4", type: "OUT", timestamp: expect.stringMatching(/^\d{19}$/), tags: { process_type: "web", source_type: "RTR" },
    payload: expect.stringMatching(new RegExp(`^app\\.example\\.com - \\[.*\\] "GET ${path} HTTP/1\\.1" 200 .* app_id:"guid" .*x_cf_routererror:"-"$`)),
  })));
  await target[Symbol.asyncDispose]();
});

test("13.107 the lines of an app rise in time, whoever came first and however long it took: a reader who asks for what is newer misses none", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const heard: Envelope[] = [];
  bus.subscribe(logEnvelopes, ({ body }) => void heard.push(...body.envelopes));
  let finish: (() => void) | undefined;
  await using app = await httpBackend((request, response) => {
    if (request.url === "/slow") finish = () => response.end("slow");
    else response.end("quick");
  });
  await using target = logToApps(bus, { everyMs: 10 });
  // A clock that stands still: the hardest case.
  await using r = await rig({ accessLog: target, clock: manualClock() });
  r.serve([{ host: app.host, port: app.port, app: "guid" }]);
  const slow = ask(r.port, { path: "/slow" });
  await eventually(() => finish !== undefined);
  for (let n = 0; n < 20; n += 1) await ask(r.port, { path: `/${n}` });
  finish?.();
  await slow;
  await eventually(() => heard.length === 21);
  expect(heard.at(-1)?.payload).toContain("GET /slow");
  for (let at = 1; at < heard.length; at += 1) expect(BigInt(heard[at]?.timestamp ?? 0) > BigInt(heard[at - 1]?.timestamp ?? 0)).toBe(true);
});

test("13.105 a line too long for a log has its long fields cut, each at its limit", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const heard: Envelope[] = [];
  bus.subscribe(logEnvelopes, ({ body }) => void heard.push(...body.envelopes));
  await using app = await httpBackend((_, response) => response.end("hello"));
  const lines: string[] = [];
  await using target = logToApps(bus, { everyMs: 10, format: { extraHeaders: ["x-long"] } });
  await using r = await rig({ accessLog: [target, { write: (line: string) => lines.push(line) }] });
  app.server.maxHeadersCount = 0;
  r.serve([{ host: app.host, port: app.port, app: "guid" }]);
  const headers = { "user-agent": "u".repeat(30_000), referer: "r".repeat(2_000), "x-forwarded-for": "1".repeat(2_000), "x-long": "l".repeat(30_000) };
  await ask(r.port, { path: `/${"t".repeat(30_000)}`, headers });
  await ask(r.port, { headers: { "user-agent": "u".repeat(30_000) } });
  await eventually(() => heard.length === 2 && lines.length === 2);
  const cut = heard[0]?.payload ?? "";
  const mark = "...-TOO-LONG-TO-LOG--TRUNCATED";
  expect(cut.length).toBeLessThan(65_400);
  for (const [letter, limit] of [["u", 1_000], ["r", 1_000], ["1", 1_000], ["l", 20_000]] as const) expect(cut).toContain(`"${letter.repeat(limit - mark.length)}${mark}"`);
  expect(cut).toContain(`/${"t".repeat(20_000 - mark.length - 1)}${mark}`);
  // The file's line is whole, and so is one that fits.
  expect(lines[0]).toContain("u".repeat(30_000));
  expect(heard[1]?.payload).toContain("u".repeat(30_000));
});

test("13.25 what registrations did, and who left by age, is counted where a collector looks", async () => {
  const bus = await createBus({ transport: memoryTransport() });
  const clock = manualClock();
  await using r = await rig({ sources: [routesFromBus(bus)], status: { port: 0 }, clock });
  const say = async (act: () => void): Promise<void> => { act(); await bus.flush(); };
  const endpoint = { host: "10.0.0.1", port: 80, uris: ["a.example.com", "b.example.com"], app: "guid" };
  const counts = async (): Promise<(number | undefined)[]> => {
    const { body } = await ask(r.router.statusAddress?.port ?? 0, { path: "/metrics" });
    return ["registry_message{action=\"added\"}", "registry_message{action=\"updated\"}", "registry_message{action=\"refreshed\"}", "unregistry_message", "routes_pruned", "total_routes"]
      .map((name) => Number(body.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ").at(-1)));
  };
  await say(() => bus.publish(routerRegister, endpoint));
  await say(() => bus.publish(routerRegister, endpoint));
  await say(() => bus.publish(routerRegister, { ...endpoint, private_instance_index: "1" }));
  await say(() => bus.publish(routerUnregister, { ...endpoint, uris: ["b.example.com"] }));
  await eventually(async () => JSON.stringify(await counts()) === "[2,2,2,1,0,1]", 10_000);
  clock.advance(200_000);
  await eventually(async () => JSON.stringify(await counts()) === "[2,2,2,1,1,0]");
  await r[Symbol.asyncDispose]();
  await bus[Symbol.asyncDispose]();
});
