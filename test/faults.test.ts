import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeApp, writeTree } from "./support/apps.ts";
import { createCfClient, pushSteps, zipFolder, type CfClient, type Json } from "./support/cf-client.ts";
import { ask } from "./support/http.ts";
import { describeProcesses, processesOf, startPlatform, type Platform } from "./support/platform.ts";
import { run } from "./support/run.ts";
import { tempFolder } from "./support/temp.ts";
import { until } from "./support/until.ts";
import { rawZip } from "./support/zips.ts";

const program = join(dirname(fileURLToPath(import.meta.url)), "..", "examples", "paas", "dist", "cli.js");
let folder: Awaited<ReturnType<typeof tempFolder>>;
beforeAll(async () => { folder = await tempFolder("faults"); });
afterAll(() => folder[Symbol.asyncDispose]());

/** App instances among the processes of a platform: our sample app is `node server.js`, below whatever shells started it. */
const serversOf = (dataDir: string) => processesOf(dataDir).filter((pid) => /^\d+ (\S*\/)?node server\.js/.test(describeProcesses([pid])));

/** A buildpack that takes its time, so that a kill finds it at work. */
const slowBuildpack = {
  "bin/detect": "#!/bin/sh\necho slow\n",
  "bin/compile": "#!/bin/sh\necho compiling slowly\nsleep 4\necho compiled\n",
  "bin/release": "#!/bin/sh\necho 'default_process_types:'\necho '  web: node server.js'\n",
};

describe("the platform's process dies at each step of a push", () => {
  let platform: Platform;
  let cf: CfClient;
  let dataDir: string;
  let appDir: string;
  let temp: string;
  let slow: string;
  let buildpackServer: ReturnType<typeof createHttpServer> | undefined;

  const start = async (port?: number) => {
    platform = await startPlatform({ dataDir, args: ["--no-demo", "--backend", "process"], env: { TMPDIR: temp }, ...(port ? { port } : {}) });
    cf = await createCfClient(platform.ready as { api: string; user: string; password: string });
    await cf.target("acme", "dev");
  };

  beforeAll(async () => {
    dataDir = join(folder.path, "data");
    temp = join(folder.path, "tmp");
    await mkdir(temp);
    appDir = await writeTree(join(folder.path, "app"), nodeApp("still here"));
    await start();
    await cf.push({ name: "survivor", dir: appDir, app: { memory: "64M", buildpacks: ["nodejs_buildpack"] } });
    const tree = await writeTree(join(folder.path, "slow"), {});
    for (const [path, text] of Object.entries(slowBuildpack)) {
      await mkdir(dirname(join(tree, path)), { recursive: true });
      await writeFile(join(tree, path), text, { mode: 0o755 });
    }
    const archive = await zipFolder(tree);
    buildpackServer = createHttpServer((_, response) => response.setHeader("content-type", "application/zip").end(archive)).listen(0, "127.0.0.1");
    await once(buildpackServer, "listening");
    slow = `http://127.0.0.1:${(buildpackServer.address() as AddressInfo).port}/slow-buildpack.zip`;
  }, 180_000);
  afterAll(async () => {
    await platform?.[Symbol.asyncDispose]();
    buildpackServer?.close();
  });

  test.each(pushSteps)("at %s", { timeout: 180_000 }, async (step) => {
    const name = `app-${step}`;
    const cut = new Error("cut");
    await expect(cf.push({
      name, dir: appDir, app: { memory: "64M", buildpacks: [slow] },
      async onStep(reached) {
        if (reached !== step) return;
        // A build is killed in the midst of the buildpack, not before it.
        if (step === "build-created") await until("the buildpack is at work", () => processesOf(dataDir).some((pid) => /compile|sleep/.test(describeProcesses([pid]))), { withinMs: 20_000, everyMs: 50 });
        await platform.kill("SIGKILL");
        throw cut;
      },
    })).rejects.toBe(cut);

    const { port } = platform;
    await start(port);
    await until("the app that ran before answers again", async () => (await cf.app("survivor.cf.localhost")).text === "still here", { withinMs: 60_000 });

    const app = (await cf.get(`/v3/apps?names=${name}&space_guids=${cf.spaceGuid}`)).resources[0];
    expect(app, "the app of the manifest is still known").toBeDefined();
    await until("no build hangs", async () => {
      const builds: Json[] = (await cf.get(`/v3/builds?app_guids=${app.guid}`)).resources;
      if (builds.some((build) => build.state === "STAGING")) return false;
      if (step === "build-created") expect(builds[0]).toMatchObject({ state: "FAILED", error: expect.stringMatching(/\w+/) });
      return true;
    }, { withinMs: 30_000 });
    await until("no package hangs", async () => {
      const packages: Json[] = (await cf.get(`/v3/packages?app_guids=${app.guid}`)).resources;
      return packages.every((pack) => ["READY", "FAILED", "AWAITING_UPLOAD"].includes(pack.state));
    }, { withinMs: 30_000 });

    // What should run does, once; what should not is gone.
    const started = ["restarted", "running"].includes(step);
    if (started) await until("the pushed app runs", async () => (await cf.app(`${name}.cf.localhost`)).status === 200, { withinMs: 60_000 });
    const expected = 1 + await runningBesides(cf, "survivor");
    await until(`${expected} app processes`, () => serversOf(dataDir).length === expected, { withinMs: 30_000 })
      .catch(() => expect(serversOf(dataDir).length, `one process per instance:\n${describeProcesses(serversOf(dataDir))}`).toBe(expected));
    expect(processesOf(dataDir).filter((pid) => /compile|sleep 4/.test(describeProcesses([pid]))).length, "no buildpack left at work").toBe(0);
    expect(await readdir(temp), "no temporary folder").toEqual([]);

    // The same push again goes through.
    if (step === "build-created" || step === "bits-uploaded") {
      await cf.push({ name, dir: appDir, app: { memory: "64M", buildpacks: [slow] } });
      await until("it answers", async () => (await cf.app(`${name}.cf.localhost`)).text === "still here");
    }
  });

  async function runningBesides(client: CfClient, known: string): Promise<number> {
    const apps: Json[] = (await client.get(`/v3/apps?space_guids=${client.spaceGuid}&per_page=200`)).resources;
    return apps.filter((app) => app.name !== known && app.state === "STARTED").length;
  }

  describe("packages no honest client would send", () => {
    const secret = () => join(folder.path, "outside.txt");
    const cases: { name: string; zip: () => Buffer; }[] = [
      { name: "a path above the app", zip: () => rawZip([{ name: "../../../../outside.txt", content: "evil" }, { name: "server.js", content: "1" }]) },
      { name: "an absolute path", zip: () => rawZip([{ name: secret(), content: "evil" }]) },
      { name: "a link out, and a file through it", zip: () => rawZip([{ name: "door", content: folder.path, mode: 0o120777 }, { name: "door/outside.txt", content: "evil" }]) },
      { name: "a wrong checksum", zip: () => rawZip([{ name: "server.js", content: "console.log(1)", claims: { crc: 1 } }]) },
      { name: "half an archive", zip: () => { const whole = rawZip([{ name: "server.js", content: "x".repeat(10_000) }]); return whole.subarray(0, whole.length / 2); } },
      { name: "no archive at all", zip: () => Buffer.from("this is not a zip file") },
      { name: "a device", zip: () => rawZip([{ name: "disk", mode: 0o060666 }]) },
    ];
    test.each(cases)("$name", { timeout: 60_000 }, async ({ zip }) => {
      await expect(cf.push({ name: "evil", bits: zip() })).rejects.toThrow(/package FAILED: \S|build FAILED: \S|-> 4\d\d/);
      await expect(readFile(secret(), "utf8")).rejects.toMatchObject({ code: "ENOENT" });
      expect((await cf.app("survivor.cf.localhost")).status).toBe(200);
      expect(await readdir(temp)).toEqual([]);
    });
  });

  test("an app that always crashes is reported as crashed, costs nobody else, and can be deleted", { timeout: 180_000 }, async () => {
    const dir = await writeTree(join(folder.path, "crasher"), nodeApp("never", { "server.js": "console.log('bye'); process.exit(5);" }));
    await expect(cf.push({ name: "crasher", dir, app: { memory: "64M", buildpacks: ["nodejs_buildpack"] } })).rejects.toThrow(/crashed/);
    const app = (await cf.get(`/v3/apps?names=crasher&space_guids=${cf.spaceGuid}`)).resources[0];
    const events: Json[] = (await cf.get(`/v3/audit_events?target_guids=${app.guid}`)).resources;
    const crash = events.find((event) => /crash/.test(event.type));
    expect(crash, JSON.stringify(events.map(({ type }) => type))).toBeDefined();
    expect(JSON.stringify(crash.data)).toMatch(/5/);
    expect((await cf.app("survivor.cf.localhost")).status).toBe(200);
    const { headers } = await cf.request("DELETE", `/v3/apps/${app.guid}`);
    await cf.job(headers["location"] as string);
    await until("no process of it is left", () => serversOf(dataDir).every((pid) => !describeProcesses([pid]).includes("crasher")));
  });

  test("a second platform on the same folder is refused and harms nobody", { timeout: 60_000 }, async () => {
    const second = await run(process.execPath, [program, "--port", "0", "--data-dir", dataDir, "--json", "--no-demo"], { limitMs: 30_000 });
    expect(second.code, second.all).toBe(1);
    expect(second.all).toMatch(/in use|another|already|busy|lock/i);
    expect((await cf.app("survivor.cf.localhost")).status).toBe(200);
  });
});

test("a taken port is said plainly, and nothing stays behind", { timeout: 60_000 }, async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const dataDir = join(folder.path, "taken");
  const ran = await run(process.execPath, [program, "--port", String(port), "--data-dir", dataDir, "--no-demo"], { limitMs: 45_000 });
  await new Promise((resolve) => taken.close(resolve));
  expect(ran.code, ran.all).toBe(1);
  expect(ran.all).toContain(String(port));
  expect(ran.all).toMatch(/in use|taken|EADDRINUSE/i);
  expect(ran.all, "a sentence, not a stack trace").not.toMatch(/\n\s+at .*\.js:\d+/);
  expect(processesOf(dataDir), describeProcesses(processesOf(dataDir))).toEqual([]);
});

test.each([["--no-such-flag"], ["--port", "99999999"], ["--roles", "emperor"], ["--backend", "magic"]])("asked wrongly: %s %s", { timeout: 30_000 }, async (...flags) => {
  const dataDir = join(folder.path, "wrong");
  const ran = await run(process.execPath, [program, "--data-dir", dataDir, ...flags], { limitMs: 20_000 });
  expect(ran.code, ran.all).toBe(2);
  expect(ran.all).toContain(String(flags[1] ?? flags[0]).replace(/^--/, ""));
});

test("a folder that cannot be written is said plainly", { timeout: 30_000 }, async () => {
  const file = join(folder.path, "a-file");
  await writeFile(file, "");
  const ran = await run(process.execPath, [program, "--port", "0", "--data-dir", join(file, "data"), "--no-demo"], { limitMs: 20_000 });
  expect(ran.code, ran.all).toBe(1);
  expect(ran.all).toContain(file);
});

test("slow and broken clients do not hold up the others", { timeout: 120_000 }, async () => {
  await using platform = await startPlatform({ dataDir: join(folder.path, "clients"), args: ["--no-demo"] });
  const { connect } = await import("node:net");
  const sockets = Array.from({ length: 50 }, () => connect(platform.port, "127.0.0.1").on("error", () => {}));
  for (const [index, socket] of sockets.entries()) socket.write(["GET / HTTP/1.1\r\nHost: api.cf.loc", "\x16\x03\x01\x02\x00", "POST /v3/apps HTTP/1.1\r\nHost: api.cf.localhost\r\nContent-Length: 100000\r\n\r\n{", ""][index % 4] ?? "");
  const answer = await ask(`${platform.ready.api}/`);
  expect(answer.status).toBe(200);
  for (const socket of sockets) socket.destroy();
});
