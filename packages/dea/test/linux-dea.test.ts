import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type DeaOptions, MiB } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { tracesOf } from "./fixtures/linux-traces.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

/** Answers what the request's path asks for. */
const server = `
const http = require("node:http"), fs = require("node:fs"), net = require("node:net");
http.createServer((q, r) => {
  if (q.url === "/who") r.end(JSON.stringify({ uid: process.getuid(), home: process.env.HOME, port: process.env.PORT, ports: process.env.CF_INSTANCE_PORTS, cwd: process.cwd() }));
  else if (q.url === "/address") r.end(Object.values(require("node:os").networkInterfaces()).flat().find((one) => !one.internal && one.family === "IPv4").address);
  else if (q.url === "/eat") { const all = []; setInterval(() => all.push(Buffer.alloc(8e6, 1)), 1); }
  else if (q.url.startsWith("/to/")) { const [, , h, p] = q.url.split("/"); const s = net.connect(p, h, () => { s.destroy(); r.end("reached"); }).on("error", (e) => r.end(e.code)); }
  else r.end("ok");
}).listen(process.env.PORT);`;

describe.skipIf(!host.able)(`executor on the linux backend${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let droplet: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": server }, `exec "${process.execPath}" server.js`);
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  const open = async (more: DeaOptions = {}): Promise<Dea> => createDea({ backend: await linuxBackend(), samplingMs: 200, memoryBytes: 1_024 * MiB, ...more });
  const spec = { memoryBytes: 96 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "http" as const, path: "/", timeoutMs: 60_000 }, graceMs: 2_000 };
  const get = async ({ host: name, port }: { host: string; port: number }, path: string): Promise<string> => (await fetch(`http://${name}:${port}${path}`)).text();

  test("section 5 and 7: runs a droplet as vcap, behind a port of the host, and names the end by memory", async () => {
    const dea = await open();
    try {
      const instance = await dea.start({ ...spec, droplet });
      await instance.ready;
      const { port } = instance.address;
      expect(JSON.parse(await get(instance.address, "/who"))).toEqual({
        uid: 1_000, home: "/home/vcap/app", port: "8080", cwd: "/home/vcap/app", ports: JSON.stringify([{ external: port, internal: 8_080 }]),
      });
      const { memoryBytes, processes } = await instance.stats();
      expect(memoryBytes).toBeGreaterThan(MiB);
      expect(processes).toBe(1);
      void get(instance.address, "/eat").catch(() => {});
      const exit = await instance.exited;
      expect(exit).toMatchObject({ reason: "oom", description: "out of memory" });
    } finally {
      await dea.close();
    }
  }, 120_000);

  test("egress rules come with the start and change while it runs", async () => {
    const dea = await open();
    const listener = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await new Promise((resolve) => listener.once("listening", resolve));
    try {
      const { port } = listener.address() as { port: number };
      const instance = await dea.start({ ...spec, droplet, egress: [] });
      await instance.ready;
      const own = await get(instance.address, "/address");
      // The host's end of the link is one below.
      const address = own.replace(/\d+$/, (last) => String(Number(last) - 1));
      const gateway = async (): Promise<string> => get(instance.address, `/to/${address}/${port}`);
      expect(await gateway()).toMatch(/EHOSTUNREACH|ECONNREFUSED/);
      dea.update(instance, { egress: [{ protocol: "tcp", destination: address, ports: String(port) }] });
      await until(async () => (await gateway()) === "reached", 20_000);
      dea.update(instance, { egress: [] });
      await until(async () => (await gateway()) !== "reached", 20_000);
      expect(() => dea.update(instance, { egress: [{ protocol: "tcp", destination: "nowhere" }] })).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC" }));
    } finally {
      listener.close();
      await dea.close();
    }
  }, 120_000);

  test("the next executor takes over what runs, with its port, and leaves nothing when it ends", async () => {
    const dataDir = join(folder.path, "dea");
    const first = await open({ dataDir, onClose: "keep" });
    const instance = await first.start({ ...spec, droplet });
    await instance.ready;
    await first.close();
    expect(await get(instance.address, "/")).toBe("ok");
    const second = await open({ dataDir });
    expect(second.id).toBe(first.id);
    expect(second.resumed.adopted.map(({ id }) => id)).toEqual([instance.id]);
    expect(await get(instance.address, "/")).toBe("ok");
    expect((await second.resumed.adopted[0]?.stats())?.processes).toBe(1);
    await second.close();
    expect(await tracesOf(first.id, join(dataDir, "instances"))).toEqual([]);
    await expect(get(instance.address, "/")).rejects.toThrow();
  }, 120_000);
});

test("a backend that cannot keep egress rules is not asked to: DEA_UNSUPPORTED", async () => {
  await using folder = await temporaryFolder();
  const droplet = await writeDroplet(join(folder.path, "app.tgz"), {}, "sleep 1");
  const dea = await createDea({ memoryBytes: 1_024 * MiB });
  try {
    await expect(dea.start({ droplet, egress: [] })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
    expect(dea.instances()).toEqual([]);
  } finally {
    await dea.close();
  }
});
