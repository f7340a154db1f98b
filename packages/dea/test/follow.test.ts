import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Bus, createBus, memoryTransport } from "@opencf/bus";
import { deaAdvertise, dropletExited } from "@opencf/bus/messages";
import { createDea, type DeaOptions, MiB } from "../src/index.ts";
import { followExecutors, joinBus, type JoinOptions, requestOf, sendStart } from "../src/bus-link.ts";
import { createPlacer, type Placer } from "../src/placement.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

// A placer and real executors on one bus.
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: Server;
let droplet: { executableUri: string; sha1: string };
let counter = 0;
beforeAll(async () => {
  folder = await temporaryFolder();
  const bytes = await readFile(await writeDroplet(join(folder.path, "d.tgz"), { x: "" }, "exec sleep 1000"));
  server = createServer((_, response) => void response.end(bytes));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  droplet = { executableUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/d.tgz`, sha1: createHash("sha1").update(bytes).digest("hex") };
});
afterAll(async () => {
  server.close();
  await folder[Symbol.asyncDispose]();
});

async function executor(bus: Bus, options: DeaOptions = {}, join_: JoinOptions = {}) {
  const dea = await createDea({ dataDir: join(folder.path, `dea${counter++}`), memoryBytes: 1024 * MiB, diskBytes: 8192 * MiB, ...options });
  const membership = await joinBus(dea, bus, { advertiseIntervalMs: 1e6, ...join_ });
  return { dea, [Symbol.asyncDispose]: () => membership.leave({ instances: "stop" }) };
}
const command = (app: string, index = 0, mem = 300) =>
  ({ droplet: app, version: "1", index, name: app, uris: [], stack: "cflinuxfs4", limits: { mem, disk: 100, fds: 100 }, ...droplet });
const start = (placer: Placer, bus: Bus, message: ReturnType<typeof command>) => placer.deliver(requestOf(message), sendStart(bus, message));
const freeMb = (placer: Placer): number[] => placer.hosts().map(({ memory }) => ("freeBytes" in memory ? memory.freeBytes / MiB : Number.NaN)).sort((a, b) => a - b);

test("a burst fills the executors evenly and to the last, nobody refuses, and the books agree in the end", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const exits: string[] = [];
  bus.subscribe(dropletExited, ({ body }) => void exits.push(body.reason));
  await using one = await executor(bus, {}, { zone: "x" });
  await using two = await executor(bus, {}, { zone: "y" });
  const placer = createPlacer();
  using _following = followExecutors(placer, bus);
  await until(() => placer.size.hosts === 2);

  const deliveries = await Promise.all(Array.from({ length: 7 }, (_, i) => start(placer, bus, command("app", i))));
  expect(deliveries.slice(0, 6).map((each) => each.state === "accepted" && each.tried.length)).toEqual([0, 0, 0, 0, 0, 0]);
  expect([one.dea.instances().length, two.dea.instances().length]).toEqual([3, 3]);
  expect(deliveries[6]).toMatchObject({ state: "refused", tried: [], refusal: { code: "no-memory", askedBytes: 300 * MiB, mostBytes: 124 * MiB } });
  // Every promise has become a number of the executor's, and no number was taken twice.
  await until(() => placer.size.open === 0);
  expect(freeMb(placer)).toEqual([124, 124]);
  expect(exits).toEqual([]);
});

test("an advertisement older than the executor's fill: refused there, taken elsewhere at once, and no crash", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const exits: string[] = [];
  bus.subscribe(dropletExited, ({ body }) => void exits.push(body.reason));
  await using full = await executor(bus, { memoryBytes: 256 * MiB });
  await using roomy = await executor(bus, { memoryBytes: 700 * MiB });
  const placer = createPlacer();
  using _following = followExecutors(placer, bus);
  await until(() => placer.size.hosts === 2);
  bus.publish(deaAdvertise, { id: full.dea.id, stacks: ["cflinuxfs4"], available_memory: 4096, total_memory: 4096 });
  await until(() => freeMb(placer).includes(4096));

  expect(await start(placer, bus, command("app"))).toMatchObject({ state: "accepted", host: roomy.dea.id, tried: [{ host: full.dea.id, reason: "Not enough memory resource available." }] });
  // Nothing as large is tried there again; something smaller is, as far as anybody knows.
  expect(await start(placer, bus, command("app", 1))).toMatchObject({ state: "accepted", host: roomy.dea.id, tried: [] });
  expect(await start(placer, bus, command("small", 0, 200))).toMatchObject({ state: "accepted", host: full.dea.id });
  expect(exits).toEqual([]);
});

test("an executor that says goodbye is no host any more, and one that comes later is found", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const placer = createPlacer();
  using _following = followExecutors(placer, bus);
  expect(await start(placer, bus, command("app"))).toMatchObject({ state: "refused", refusal: { code: "no-hosts" } });
  {
    await using _one = await executor(bus);
    await until(() => placer.size.hosts === 1);
  }
  await until(() => placer.size.hosts === 0);
  await using late = await executor(bus);
  await until(() => placer.size.hosts === 1);
  expect(await start(placer, bus, command("app"))).toMatchObject({ state: "accepted", host: late.dea.id });
});
