import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evilDroplets } from "../bench/kit/evil-droplets.mjs";
import { createDea, type Dea, type Instance, MiB } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

describe.skipIf(!host.able)(`executor on the linux backend against attackers${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let dea: Dea;
  let neighbour: Instance;
  const usual = { memoryBytes: 96 * MiB, diskBytes: 48 * MiB, graceMs: 200 };
  const hello = async (): Promise<boolean> => (await fetch(`http://${neighbour.address.host}:${neighbour.address.port}/`).then((answer) => answer.text(), () => "")).startsWith("hello");
  const said = async (instance: Instance): Promise<string[]> => {
    const lines: string[] = [];
    for await (const { text } of instance.logs({ follow: false })) lines.push(text);
    return lines;
  };
  beforeAll(async () => {
    folder = await temporaryFolder();
    dea = await createDea({ backend: await linuxBackend(), dataDir: join(folder.path, "dea"), memoryBytes: 1_024 * MiB, logLinesPerSecond: 5_000 });
    neighbour = await dea.start({ ...usual, droplet: await writeDroplet(join(folder.path, "web.tgz"), { "server.js": webServer }, `exec "${process.execPath}" server.js`) });
    await neighbour.ready;
  }, 120_000);
  afterAll(async () => {
    await dea.close();
    await folder[Symbol.asyncDispose]();
  }, 60_000);

  const attack = async (command: string, more: object = {}): Promise<Instance> => {
    const droplet = await writeDroplet(join(folder.path, "attack.tgz"), {});
    const instance = await dea.start({ ...usual, droplet, command, healthCheck: { type: "process" }, ...more });
    await instance.ready.catch(() => {});
    return instance;
  };
  const node = `exec "${process.execPath}" -e`;

  test("a flood of lines: read, bounded and counted; the app is not ended, the neighbour answers", async () => {
    const flood = await attack(`${node} 'const b = Buffer.from("a line of a flood\\n".repeat(3000)); for (;;) { try { require("fs").writeSync(1, b) } catch {} }'`);
    const dropped = async (): Promise<number> => (await said(flood)).reduce((sum, text) => sum + Number(/^(\d+) log lines dropped: more than 5000 a second$/.exec(text)?.[1] ?? 0), 0);
    await until(async () => (await dropped()) > 10_000, 60_000);
    expect(await hello()).toBe(true);
    expect(flood.exit).toBeUndefined();
    await flood.stop();
  }, 120_000);

  test.each([
    ["bytes", `${node} 'const fs = require("fs"); const fd = fs.openSync("fill", "w"); const b = Buffer.alloc(1048576, 1); let n = 0; try { for (;;) n += fs.writeSync(fd, b) } catch (e) { console.log(e.code, n) } setInterval(() => {}, 1e6)'`, 40 * MiB, 52 * MiB],
    ["files", `${node} 'const fs = require("fs"); fs.mkdirSync("many"); let n = 0; try { for (;;) fs.writeFileSync("many/" + n++, "") } catch (e) { console.log(e.code, n) } setInterval(() => {}, 1e6)'`, 300, 530],
  ] as const)("a filler of the disk by %s meets the end of its own, and nobody else does", async (_what, command, least, most) => {
    const filler = await attack(command, { inodes: 500 });
    const found = await until(async () => (await said(filler)).map((text) => /^ENOSPC (\d+)$/.exec(text)?.[1]).find(Boolean), 60_000);
    expect(Number(found)).toBeGreaterThan(least);
    expect(Number(found)).toBeLessThan(most);
    expect(await hello()).toBe(true);
    await filler.stop();
  }, 120_000);

  test("memory and swap have one limit together", async () => {
    const instance = await attack("cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory.max memory.swap.max 2>/dev/null; echo end; exec sleep 1000");
    await until(async () => (await said(instance)).includes("end"), 30_000);
    const limits = (await said(instance)).filter((text) => /^\d+$/.test(text)).map(Number);
    expect(limits).toEqual(host.cgroups?.version === 2 ? [usual.memoryBytes, ...(host.swap ? [0] : [])] : [usual.memoryBytes, ...(host.swap ? [usual.memoryBytes] : [])]);
    await instance.stop();
  }, 60_000);

  test("who ignores TERM, forks twice into sessions of its own and renames itself is gone soon after its grace", async () => {
    const stubborn = await attack(`perl -MPOSIX -e '$SIG{$_} = "IGNORE" for qw(TERM INT HUP QUIT); for (1..5) { next if fork; setsid(); exit if fork; $0 = "[kworker/0:1-events]"; sleep 1000 while 1 } sleep 1000 while 1' || { trap "" TERM; sleep 1000; }`);
    await until(async () => ((await stubborn.stats()).processes ?? 0) > 1, 30_000);
    expect((await stubborn.stop()).reason).toBe("stopped");
    await expect(stubborn.stats()).rejects.toMatchObject({ code: "DEA_STOPPED" });
  }, 60_000);

  test("droplets that are not what they say, or want out: nothing of them runs, nothing is written outside", async () => {
    for (const { name, droplet, held } of await evilDroplets(folder.path)) {
      const instance = await dea.start({ ...usual, droplet, command: "sleep 1000", healthCheck: { type: "process" } });
      await instance.ready.then(() => expect.fail(`${name} runs`), () => {});
      const exit = await instance.exited;
      expect(held(exit), `${name}: ${JSON.stringify(exit.reason)}`).toBe(true);
    }
  }, 120_000);
});
