import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { specOfMessage, type StartMessage } from "../src/bus/start-message.ts";
import { createDea, type Dea, type DeaOptions, MiB, type StartSpec } from "../src/index.ts";
import { placeOf } from "../src/instance/place-spec.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { tinyStack } from "./fixtures/tiny-stack.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

describe("dea §7: what a start may ask for beside memory and disk", () => {
  test.each<[object, object]>([
    [{}, {}],
    [{ stack: "s", cpuCores: 0.5, maxProcesses: 20, inodes: 100 }, { stack: "s", cpuCores: 0.5, maxProcesses: 20, inodes: 100 }],
    [{ bandwidth: { bytesPerSecond: 1_000_000 } }, { bandwidth: { bytesPerSecond: 1_000_000, burstBytes: 100_000 } }],
    [{ bandwidth: { bytesPerSecond: 2_000, burstBytes: 5 } }, { bandwidth: { bytesPerSecond: 2_000, burstBytes: 16_384 } }],
  ])("%j", (given, expected) => expect(placeOf(given)).toEqual(expected));
  test.each([[{ cpuCores: 0 }], [{ cpuCores: Number.NaN }], [{ cpuCores: 0.001 }], [{ bandwidth: { bytesPerSecond: 10 } }], [{ maxProcesses: 1.5 }], [{ inodes: -1 }]])("refused: %j", (given) => {
    expect(() => placeOf(given)).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC" }));
  });
  test("dea §2: the stack of a start message reaches the backend where that has a root file system of it, and only there", () => {
    const message = { droplet: "a", version: "1", index: 0, name: "a", stack: "cflinuxfs4", executableUri: "http://127.0.0.1/d", sha1: "0".repeat(40), limits: { mem: 1, disk: 1, fds: 1 } } as unknown as StartMessage;
    expect(specOfMessage(message, ["cflinuxfs4"])).not.toHaveProperty("stack");
    expect(specOfMessage(message, ["cflinuxfs4"], undefined, ["cflinuxfs4"])).toMatchObject({ stack: "cflinuxfs4" });
    expect(() => specOfMessage(message, ["other"])).toThrow(/The requested stack "cflinuxfs4" does not exist here/);
  });
  test.each<[Partial<StartSpec>, RegExp]>([
    [{ cpuCores: 1 }, /cannot keep cpuCores/], [{ bandwidth: { bytesPerSecond: 5_000 } }, /cannot keep bandwidth/], [{ maxProcesses: 5 }, /cannot keep maxProcesses/],
    [{ inodes: 5 }, /cannot keep inodes/], [{ stack: "cflinuxfs4" }, /has no stack "cflinuxfs4"; it has: none/],
  ])("a backend that cannot keep %j is not asked to: DEA_UNSUPPORTED", async (asked, text) => {
    const dea = await createDea({ memoryBytes: 1_024 * MiB });
    try {
      const open = dea.backend.capabilities.enforces;
      if ((asked.cpuCores && open.cpuCap) || (asked.maxProcesses && open.pids)) return;
      await expect(dea.start({ droplet: "nowhere.tgz", ...asked })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED", message: expect.stringMatching(text) });
      expect(dea.instances()).toEqual([]);
    } finally {
      await dea.close();
    }
  });
});

describe.skipIf(!host.able)(`the linux backend keeps what a start asks for${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let stack: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    stack = tinyStack(await mkdtemp(join(tmpdir(), "opencf-stack-")));
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
    await rm(stack, { recursive: true, force: true });
  });
  const withDea = async (use: (dea: Dea) => Promise<void>, more: DeaOptions = {}): Promise<void> => {
    const dea = await createDea({ backend: await linuxBackend({ stacks: { tiny: stack } }), memoryBytes: 1_024 * MiB, ...more });
    try {
      await use(dea);
    } finally {
      await dea.close();
    }
  };

  test("dea §7, create: the root is the stack's folder, of which nothing changes; the app is vcap in it", async () => {
    const script = "cat /etc/stack-release; id -un; ls /; echo PATH=$PATH; echo x >/etc/mine && echo wrote; cat /usr/lib/os-release; echo end; sleep 1000";
    const droplet = await writeDroplet(join(folder.path, "stack.tgz"), {}, script);
    await withDea(async (dea) => {
      expect(dea.backend.stacks).toEqual(["tiny"]);
      const instance = await dea.start({ droplet, stack: "tiny", memoryBytes: 64 * MiB, diskBytes: 32 * MiB, healthCheck: { type: "process" } });
      await instance.ready;
      const said: string[] = [];
      await until(async () => {
        said.length = 0;
        for await (const { stream, text } of instance.logs({ follow: false })) if (stream === "stdout") said.push(text);
        return said.includes("end");
      }, 30_000);
      expect(said.slice(0, 2)).toEqual(["tiny", "vcap"]);
      expect(said).toContain("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
      expect(said).not.toContain("root");
      expect(said.filter((name) => ["boot", "opt", "srv", "media", "wrote"].includes(name))).toEqual([]);
      await expect(dea.start({ droplet, stack: "large" })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED" });
    });
  }, 120_000);

  test("cpuCores: who burns gets that much and no more", async () => {
    const droplet = await writeDroplet(join(folder.path, "burn.tgz"), {}, "while :; do :; done & while :; do :; done");
    await withDea(async (dea) => {
      const instance = await dea.start({ droplet, cpuCores: 0.2, memoryBytes: 64 * MiB, diskBytes: 32 * MiB, healthCheck: { type: "process" } });
      await instance.ready;
      await instance.stats();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const { cpu } = await instance.stats();
      expect(cpu).toBeGreaterThan(0.01);
      expect(cpu).toBeLessThan(0.3);
    });
  }, 120_000);

  test.skipIf(!host.bandwidth)("dea §10.6, bandwidth: the same rate each way, measured", async () => {
    const server = `require("net").createServer((s) => { let got = 0; s.on("error", () => {}); s.on("data", (d) => { got += d.length; if (got >= 600000) s.end("x".repeat(600000)); }); }).listen(process.env.PORT)`;
    const droplet = await writeDroplet(join(folder.path, "net.tgz"), { "server.js": server }, `exec "${process.execPath}" server.js`);
    await withDea(async (dea) => {
      const instance = await dea.start({ droplet, bandwidth: { bytesPerSecond: 400_000, burstBytes: 50_000 }, memoryBytes: 96 * MiB, diskBytes: 32 * MiB });
      await instance.ready;
      const { host: name, port } = instance.address;
      const from = performance.now();
      let firstBack = 0;
      let back = 0;
      await new Promise<void>((resolve, reject) => {
        const socket = connect(port, name, () => socket.write(Buffer.alloc(600_000)));
        socket.on("data", (chunk: Buffer) => {
          firstBack ||= performance.now();
          back += chunk.length;
        });
        socket.once("error", reject).once("close", () => resolve());
      });
      const [there, andBack] = [firstBack - from, performance.now() - firstBack];
      expect(back).toBe(600_000);
      // 600 kB less the burst, at 400 kB a second: 1.4 s each way, and on a slow machine longer.
      expect(there).toBeGreaterThan(1_100);
      expect(andBack).toBeGreaterThan(1_100);
    });
  }, 120_000);

  test("maxProcesses and inodes come through", async () => {
    const script = "mkdir many; i=0; while [ $i -lt 2000 ]; do { true >many/$i; } 2>/dev/null || break; i=$((i+1)); done; echo files $i; i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; sleep 1000";
    const droplet = await writeDroplet(join(folder.path, "many.tgz"), {}, script);
    await withDea(async (dea) => {
      const instance = await dea.start({ droplet, inodes: 500, maxProcesses: 24, memoryBytes: 64 * MiB, diskBytes: 32 * MiB, healthCheck: { type: "process" } });
      const files = await until(async () => {
        for await (const { text } of instance.logs({ follow: false })) if (text.startsWith("files ")) return Number(text.slice(6));
        return undefined;
      }, 30_000);
      expect(files).toBeGreaterThan(50);
      expect(files).toBeLessThan(520);
      await until(async () => (await instance.stats().catch(() => undefined))?.processes ?? instance.exit, 10_000);
      const processes = (await instance.stats().catch(() => undefined))?.processes ?? 0;
      expect(processes).toBeLessThanOrEqual(24);
    });
  }, 120_000);
});
