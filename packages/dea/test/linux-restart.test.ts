import { execFileSync, spawn } from "node:child_process";
import { readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type Dea, type Instance, linuxBackend, MiB } from "../src/index.ts";
import { containerPaths, ownerNames } from "../src/linux/names.ts";
import { endHelpersOfThePast } from "../src/linux/orphan-helpers.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { readSlots, releaseSlot, takeSlot } from "../src/linux/slots.ts";
import { systemClock } from "../src/ports.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { startProcess } from "./fixtures/executor-process.ts";
import { tracesOf } from "./fixtures/linux-traces.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");
/** Says what was asked, eats memory, or tries to reach somebody. */
const server = `require("node:http").createServer((q, s) => { console.log("GET " + q.url);
  if (q.url === "/eat") { const all = []; setInterval(() => all.push(Buffer.alloc(8e6, 1)), 1); }
  else if (q.url.startsWith("/to/")) { const [, , h, p] = q.url.split("/"); const c = require("node:net").connect(p, h, () => { c.destroy(); s.end("reached"); }).on("error", (e) => s.end(e.code)); }
  else if (q.url === "/address") s.end(Object.values(require("node:os").networkInterfaces()).flat().find((one) => !one.internal && one.family === "IPv4").address);
  else s.end("ok"); }).listen(process.env.PORT)`;

describe.skipIf(!host.able)(`dea §12 linux backend: what the next executor finds${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let programs: Awaited<ReturnType<typeof bundle>>;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let droplet: string;
  beforeAll(async () => {
    programs = await bundle({ victim: "test/fixtures/victim.ts" });
    folder = await temporaryFolder();
    droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": server }, `exec "${process.execPath}" server.js`);
  });
  afterAll(async () => {
    await programs[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  test("its output, its limits, its port and its rules, also where the table of rules was emptied meanwhile", async () => {
    const dataDir = join(folder.path, "dea");
    const listener = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await new Promise((resolve) => listener.once("listening", resolve));
    const { port: goal } = listener.address() as { port: number };
    const get = async (port: number, path: string): Promise<string> => (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } })).text();
    let dea: Dea | undefined;
    try {
      let id = "";
      let port = 0;
      let owner = "";
      {
        await using child = startProcess(programs.path("victim"), [dataDir, "linux"]);
        owner = (await child.first("up")).id ?? "";
        child.tell({ start: { droplet, appId: "a", memoryBytes: 128 * MiB, diskBytes: 32 * MiB, egress: [], env: { SECRET: "very-secret-value" } } });
        ({ id = "", port = 0 } = await child.first("ready"));
        await child.kill();
      }
      for (let i = 0; i < 10; i++) expect(await get(port, `/away-${i}`)).toBe("ok");
      const own = await get(port, "/address");
      const gateway = own.replace(/\d+$/, (last) => String(Number(last) - 1));
      // Somebody reloads the machine's firewall.
      execFileSync("nft", ["delete", "table", "inet", ownerNames(owner).table]);
      dea = await createDea({ dataDir, backend: await linuxBackend(), samplingMs: 200 });
      expect(dea.id).toBe(owner);
      const instance = dea.resumed.adopted[0] as Instance;
      expect(instance).toMatchObject({ id, state: "RUNNING", address: { port } });
      expect(await get(port, "/back")).toBe("ok");
      const texts: string[] = [];
      for await (const { text } of instance.logs()) {
        texts.push(text);
        if (text === "GET /back") break;
      }
      expect(texts.filter((text) => text.startsWith("GET /away"))).toHaveLength(10);
      expect(await get(port, `/to/${gateway}/${goal}`)).not.toBe("reached");
      dea.update(instance, { egress: [{ protocol: "tcp", destination: gateway, ports: String(goal) }] });
      await until(async () => (await get(port, `/to/${gateway}/${goal}`)) === "reached", 20_000);
      // The description of the container holds its environment: it does not stay.
      const { bundle: bundleDir } = containerPaths(ownerNames(owner), id);
      await until(async () => !(await readdir(bundleDir)).includes("config.json"));
      expect(await readFile(join(dataDir, "journal.jsonl"), "utf8")).not.toContain("very-secret-value");
      void get(port, "/eat").catch(() => {});
      expect((await instance.exited).reason).toBe("oom");
    } finally {
      listener.close();
      await dea?.close();
    }
    expect(await tracesOf(dea?.id ?? "", join(dataDir, "instances"))).toEqual([]);
  }, 180_000);

  test("what the executor before was still doing is ended; what others do is not", async () => {
    const note = join(folder.path, "executor");
    await endHelpersOfThePast(folder.path, systemClock);
    const own = (await readFile(note, "utf8")).trim();
    const past = own.replace(/^\d+/, "4194304");
    const start = (mark: string) => spawn("sleep", ["1000"], { env: { ...process.env, OPENCF_HELPER_OF: mark }, stdio: "ignore" });
    const [theirs, ours, foreign] = [start(past), start(own), start(`1${past}`)];
    try {
      await until(async () => (await readFile(`/proc/${foreign.pid}/cmdline`, "utf8")).startsWith("sleep"));
      await writeFile(note, `${past}\n`);
      await endHelpersOfThePast(folder.path, systemClock);
      await until(() => theirs.signalCode === "SIGKILL");
      expect([ours.exitCode, ours.signalCode, foreign.exitCode, foreign.signalCode]).toEqual([null, null, null, null]);
      expect((await readFile(note, "utf8")).trim()).toBe(own);
    } finally {
      for (const child of [theirs, ours, foreign]) child.kill("SIGKILL");
    }
  });

  test("a number is taken and named in one step; those an older executor wrote are known", async () => {
    const entry = { tag: "ffffffff", handle: `slot-${process.pid}`, hostPort: 1, containerPort: 2 };
    const number = await takeSlot(1_024, entry);
    const another = await takeSlot(1_024, { ...entry, handle: `${entry.handle}-b` });
    const mine = async () => (await readSlots()).filter(({ tag }) => tag === entry.tag);
    try {
      expect(another).not.toBe(number);
      expect(await mine()).toEqual(expect.arrayContaining([{ number, ...entry }]));
      // Somebody else's is not given back.
      await releaseSlot({ number, ...entry, tag: "eeeeeeee" });
      expect(await mine()).toHaveLength(2);
      const dir = (await readdir("/run/opencf-dea")).find((name) => name.startsWith("slots-")) ?? "";
      await rm(join("/run/opencf-dea", dir, String(another)));
      await writeFile(join("/run/opencf-dea", dir, String(another)), JSON.stringify({ ...entry, handle: "old" }));
      expect((await mine()).map(({ handle }) => handle).sort()).toEqual(["old", entry.handle].sort());
      await symlink("no entry", join("/run/opencf-dea", dir, "999999")).catch(() => {});
      expect(await mine()).toHaveLength(2);
      await rm(join("/run/opencf-dea", dir, "999999"));
    } finally {
      for (const each of await mine()) await releaseSlot(each);
    }
  });
});
