import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Body, createBus, natsTransport } from "@opencf/bus";
import { deaAdvertise, deaHeartbeat, deaStartInstance, deaStop, dropletExited, logEnvelopes, routerRegister } from "@opencf/bus/messages";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasNatsServer, startNatsServer } from "../../../bus/test/fixtures/nats-server.ts";
import { startTcpProxy } from "../../../bus/test/fixtures/tcp-proxy.ts";
import { joinBus } from "../../src/bus-link.ts";
import { createDea, MiB } from "../../src/index.ts";
import { fastClock } from "../fixtures/clocks.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { until } from "../fixtures/until.ts";

const heard = { deaAdvertise, deaHeartbeat, dropletExited, routerRegister, logEnvelopes };
type Heard = { [Name in keyof typeof heard]: Body<(typeof heard)[Name]>[] };
/** Prints a line a moment, says who it is, and ends when asked to. */
const server = `const me = String(Math.random()); setInterval(() => console.log("x".repeat(200)), 2);
require("node:http").createServer((q, s) => { s.end(me); if (q.url === "/end") process.exit(5); }).listen(process.env.PORT);`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let blobs: Server;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeDroplet(join(folder.path, "app.tgz"), { "server.js": server }, "exec node server.js");
  blobs = createServer((_request, response) => void readFile(join(folder.path, "app.tgz")).then((bytes) => response.end(bytes)));
  await new Promise<void>((resolve) => blobs.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  blobs.close();
  await folder[Symbol.asyncDispose]();
});

describe.skipIf(!hasNatsServer())("faults: the bus away for five minutes", () => {
  test("apps serve on, crashes are told afterwards, memory is bounded, and everything is said again", async () => {
    // Five minutes of the executor in some ten seconds of ours.
    const clock = fastClock(30);
    await using nats = await startNatsServer({ jetStream: false });
    await using observer = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
    const said = Object.fromEntries(Object.keys(heard).map((name) => [name, []])) as unknown as Heard;
    for (const [name, message] of Object.entries(heard)) observer.subscribe(message, ({ body }) => void (said[name as keyof Heard] as unknown[]).push(body));
    await using way = await startTcpProxy(Number(new URL(nats.url).port));
    await using bus = await createBus({ transport: natsTransport({ servers: [way.url] }), clock });
    const dea = await createDea({ dataDir: join(folder.path, "dea"), memoryBytes: 1_024 * MiB, clock });
    const member = await joinBus(dea, bus, { clock });
    try {
      const sha1 = createHash("sha1").update(await readFile(join(folder.path, "app.tgz"))).digest("hex");
      const start = (app: string) => observer.request(deaStartInstance, {
        droplet: app, version: "v1", index: 0, name: app, uris: [`${app}.example.com`], sha1, executableUri: `http://127.0.0.1:${(blobs.address() as AddressInfo).port}/d`,
        limits: { mem: 128, disk: 128, fds: 1024 }, env: [], health_check_timeout: 600, command_id: `start-${app}`,
      }, { params: { id: member.id }, timeoutMs: 20_000 });
      expect(await start("stays")).toMatchObject({ accepted: true });
      expect(await start("ends")).toMatchObject({ accepted: true });
      await until(() => dea.instances().filter(({ state }) => state === "RUNNING").length === 2, 30_000);
      const [stays, ends] = ["stays", "ends"].map((app) => dea.instances().find(({ spec }) => spec.appId === app)!);
      const ask = async (port: number, path = "/"): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } })).text();
      const name = await ask(stays!.address.port);

      way.refuse(true);
      await nats.kill();
      await until(() => !bus.connected && !observer.connected, 20_000);
      const away = clock.now();
      await ask(ends!.address.port, "/end").catch(() => {});
      await until(() => ends!.exit !== undefined, 30_000);
      const before = process.memoryUsage().heapUsed;
      while (clock.now() - away < 285_000) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(await ask(stays!.address.port)).toBe(name);
      }
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * MiB);
      expect(stays!.state).toBe("RUNNING");
      for (const list of Object.values(said)) (list as unknown[]).length = 0;
      await nats.restart();
      // What is said at once is said to those who are back: the observer is first.
      await until(() => observer.connected && observer.bulk.status === "connected", 20_000);
      await observer.flush();
      way.refuse(false);

      // Within the same intervals as ever, and without anybody asking.
      await until(() => said.deaAdvertise.length > 0 && said.deaHeartbeat.length > 0, 30_000);
      expect(said.deaHeartbeat.at(-1)?.droplets.map(({ droplet, state }) => ({ droplet, state }))).toEqual(expect.arrayContaining([{ droplet: "stays", state: "RUNNING" }, { droplet: "ends", state: "CRASHED" }]));
      await until(() => said.routerRegister.some(({ uris }) => uris.includes("stays.example.com")), 30_000);
      await until(() => said.dropletExited.some(({ droplet }) => droplet === "ends"), 30_000);
      expect(said.dropletExited.filter(({ droplet }) => droplet === "ends")).toMatchObject([{ reason: "CRASHED", exit_status: 5 }]);
      expect(said.dropletExited.some(({ droplet }) => droplet === "stays")).toBe(false);
      // What was too much to keep is said.
      await until(() => said.logEnvelopes.some(({ envelopes }) => envelopes.some(({ payload }) => payload.includes("log lines dropped"))), 30_000);
      expect(await ask(stays!.address.port)).toBe(name);
      // Commands work as before; one that had been carried out is not carried out again.
      expect(await start("stays")).toMatchObject({ accepted: true });
      expect(dea.instances().filter(({ spec }) => spec.appId === "stays")).toHaveLength(1);
      observer.publish(deaStop, { droplet: "stays" });
      await until(() => stays!.exit?.reason === "stopped", 30_000);
    } finally {
      await member.leave({ instances: "stop" });
    }
  }, 180_000);

  test.each([["stop", { instances: "stop" }], ["keep", { instances: "keep" }]] as const)("dea §12: leaving (%s) ends though the bus is gone", async (_name, how) => {
    const nats = await startNatsServer({ jetStream: false });
    const dataDir = join(folder.path, `gone-${how.instances}`);
    const bus = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
    const dea = await createDea({ dataDir, memoryBytes: 1_024 * MiB });
    const member = await joinBus(dea, bus);
    const instance = await dea.start({ droplet: join(folder.path, "app.tgz"), memoryBytes: 128 * MiB, graceMs: 500 });
    await instance.ready;
    await nats.kill();
    await until(() => !bus.connected, 20_000);
    await member.leave(how);
    await dea.close(how);
    await bus[Symbol.asyncDispose]();
    await nats[Symbol.asyncDispose]();
    await using next = await createDea({ dataDir });
    expect(next.resumed.adopted.map(({ id }) => id)).toEqual(how.instances === "keep" ? [instance.id] : []);
  }, 60_000);
});
