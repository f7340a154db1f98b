import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, type Server, startNats } from "../../../test/support/servers.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { startProgram } from "./fixtures/program.ts";
import { type RawNats, rawNats } from "./fixtures/raw-nats.ts";
import { until } from "./fixtures/until.ts";

// The program, a real NATS server, and raw messages that hold the chapter's fields and nothing else.
const absent = missing("nats-server");
let programs: Awaited<ReturnType<typeof bundle>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let nats: Server;
let bus: RawNats;
const blobs = createServer((request, response) => {
  readFile(join(folder.path, basename(request.url ?? ""))).then((bytes) => response.end(bytes), () => response.writeHead(404).end());
});

beforeAll(async () => {
  if (absent) return;
  folder = await temporaryFolder();
  [programs, nats] = await Promise.all([bundle({ cli: "src/cli.ts" }), startNats(folder.path)]);
  bus = await rawNats(nats.port);
  await new Promise<void>((resolve) => blobs.listen(0, "127.0.0.1", resolve));
}, 120_000);
afterAll(async () => {
  if (absent) return;
  bus[Symbol.dispose]();
  blobs.close();
  await nats[Symbol.asyncDispose]();
  await programs[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

let counter = 0;
/** A start message as dea_ng's controller sent it (dea §2). */
async function startMessage(files: Record<string, string>, command: string, change: object = {}) {
  const name = `${++counter}.tgz`;
  const bytes = await readFile(await writeDroplet(join(folder.path, name), files, command));
  return {
    droplet: `app-${counter}`, version: "v1", index: 0, name: "shop", uris: [`shop-${counter}.example.com`], prod: false, stack: "cflinuxfs2", cc_partition: "default",
    sha1: createHash("sha1").update(bytes).digest("hex"), executableFile: "deprecated", executableUri: `http://127.0.0.1:${(blobs.address() as AddressInfo).port}/${name}`,
    limits: { mem: 256, disk: 512, fds: 1024 }, services: [], env: ["GREETING=a=$b"], start_command: null, health_check_timeout: 60, debug: null, console: false, ...change,
  };
}
const web = (change?: object) => startMessage({ "server.js": webServer }, "exec node server.js", change);
const uris = ({ uris: list }: { uris: string[] }): string => list[0] ?? "";

interface Advertisement { id: string; available_memory: number; runtimes?: string[]; app_id_to_count: Record<string, number> }
const own = ["--backend", "process", "--stacks", "cflinuxfs2", "--memory", "1G", "--disk", "4G"];

/** Starts an executor and answers its id once the bus has heard of it. */
async function executor(args: readonly string[] = []) {
  const before = bus.heard.length;
  const program = startProgram(programs.path("cli"), ["--nats", nats.url, ...own, ...args]);
  await program.says("joined nats://");
  const id = /joined \S+ as (\S+) at/.exec(program.said.err)?.[1] ?? "";
  await until(() => bus.heard.slice(before).some(({ subject, body }) => subject === "dea.advertise" && body["id"] === id), 60_000);
  return { program, id, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

const registered = (uri: string, id: string) => bus.hear("router.register", (body) => body["dea"] === id && (body["uris"] as string[]).includes(uri), 60_000);
const beats = (id: string, fits: (droplets: Record<string, unknown>[]) => boolean) => bus.hear("dea.heartbeat", (body) => body["dea"] === id && fits(body["droplets"] as Record<string, unknown>[]), 60_000);
const fetchText = async (port: unknown): Promise<string> => (await fetch(`http://127.0.0.1:${String(port)}/seen`)).text();

describe.skipIf(absent !== undefined)(`opencf-dea on a bus${absent ? ` (skipped: ${absent})` : ""}`, () => {
  test("dea §2, §4, §8, §9, §11, §13: start, register, heartbeat, status, find, update, stop, exited, by raw messages", async () => {
    await using one = await executor();
    const { id } = one;
    expect(one.program.said.err).toMatch(/opencf-dea: backend process: isolation (bubblewrap|user-namespace|none): /);
    expect(await bus.hear("dea.start", (body) => body["id"] === id)).toMatchObject({ id, ip: "127.0.0.1" });
    expect(await bus.hear("dea.advertise", (body) => body["id"] === id)).toMatchObject({ stacks: ["cflinuxfs2"], available_memory: 1024, available_disk: 4096, app_id_to_count: {}, placement_properties: { zone: "default" } });

    const ask = await web();
    bus.publish(`dea.${id}.start`, ask);
    const route = await registered(uris(ask), id);
    expect(route).toMatchObject({ host: "127.0.0.1", app: ask.droplet, dea: id, private_instance_id: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    expect(await fetchText(route["port"])).toBe("hello a=$b");
    const beat = await beats(id, (droplets) => droplets[0]?.["state"] === "RUNNING");
    expect((beat["droplets"] as object[])[0]).toMatchObject({ droplet: ask.droplet, version: "v1", index: 0, state: "RUNNING", cc_partition: "default", instance: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
    await bus.hear("dea.advertise", (body) => body["id"] === id && body["available_memory"] === 768);

    expect((await bus.request("dea.status", {})).find((answer) => answer["id"] === id)).toMatchObject({ ip: "127.0.0.1", max_memory: 1024, reserved_memory: 256 });
    const [found] = await bus.request("dea.find.droplet", { droplet: ask.droplet, states: ["RUNNING"], include_stats: true });
    expect(found).toMatchObject({ dea: id, droplet: ask.droplet, state: "RUNNING", index: 0, stats: { name: "shop", port: route["port"], mem_quota: 256 * 2 ** 20, fds_quota: 1024 } });

    bus.publish("dea.update", { droplet: ask.droplet, uris: ["new.example.com"], version: "v2" });
    await registered("new.example.com", id);
    await bus.hear("router.unregister", (body) => (body["uris"] as string[]).includes(uris(ask)));
    await beats(id, (droplets) => droplets[0]?.["version"] === "v2");
    expect(await fetchText(route["port"])).toBe("hello a=$b");

    bus.publish("dea.stop", { droplet: ask.droplet });
    expect(await bus.hear("droplet.exited", (body) => body["droplet"] === ask.droplet)).toMatchObject({ reason: "STOPPED", index: 0, version: "v2" });
    await bus.hear("router.unregister", (body) => (body["uris"] as string[]).includes("new.example.com"));
    one.program.child.kill("SIGTERM");
    expect(await one.program.code).toBe(0);
    await bus.hear("dea.shutdown", (body) => body["id"] === id);
  }, 120_000);

  test("dea §9: a crash is told with its status and last lines; dea §2: a message that cannot be meant starts nothing", async () => {
    await using one = await executor();
    const ask = await startMessage({ x: "" }, "echo last words; exit 9", { uris: [] });
    bus.publish(`dea.${one.id}.start`, ask);
    expect(await bus.hear("droplet.exited", (body) => body["droplet"] === ask.droplet)).toMatchObject({
      reason: "CRASHED", exit_status: 9, exit_description: expect.stringContaining("exit:9") as string, log_tail: expect.arrayContaining(["last words"]) as string[], crash_timestamp: expect.any(Number) as number,
    });
    const [answer] = await bus.request(`dea.${one.id}.start`, await web({ limits: { mem: 4096, disk: 1, fds: 1 } }));
    expect(answer).toMatchObject({ accepted: false, reason: "Not enough memory resource available.", code: "DEA_NO_CAPACITY" });
    const wrong = { ...(await web()), index: -1 };
    bus.publish(`dea.${one.id}.start`, wrong);
    // A crashed instance holds no memory once it is cleared away, and nothing else came.
    await until(async () => (await bus.request("dea.status", {})).some((status) => status["id"] === one.id && status["reserved_memory"] === 0), 30_000);
  }, 120_000);

  test("dea §11 (v1): dea.discover is answered by who has room, and by nobody else; v1 runtimes are advertised and asked for", async () => {
    await using one = await executor();
    const told = (await bus.hear("dea.advertise", (body) => body["id"] === one.id)) as unknown as Advertisement;
    expect(told.runtimes).toContain("node");
    expect(await bus.request("dea.discover", { droplet: 1, limits: { mem: 128, disk: 128, fds: 16 }, name: "a", runtime: "node", sha: "x" })).toMatchObject([{ id: one.id, ip: "127.0.0.1" }]);
    const [refusal] = await bus.request(`dea.${one.id}.start`, await web({ runtime: "cobol@85" }));
    expect(refusal).toMatchObject({ accepted: false, reason: "The requested runtime \"cobol@85\" does not stand here." });
    const inboxes = bus.heard.length;
    bus.publish("dea.discover", { droplet: "x", limits: { mem: 100_000, disk: 1, fds: 1 }, name: "a" });
    await expect(Promise.race([bus.request("dea.discover", { droplet: "x", limits: { mem: 100_000, disk: 1, fds: 1 } }), new Promise((resolve) => setTimeout(resolve, 600, "silence"))])).resolves.toBe("silence");
    expect(bus.heard.length).toBeGreaterThan(inboxes);
    const accepted = await bus.request(`dea.${one.id}.start`, await web({ runtime: `node@${process.versions.node.split(".")[0]}` }));
    expect(accepted).toEqual([{ accepted: true }]);
  }, 120_000);

  test("dea §12: kill -9 leaves the app serving; the next start takes it over under the same id; TERM leaves it too, and says so", async () => {
    const dataDir = join(folder.path, "kept");
    const ask = await web();
    let port: unknown;
    let instance: unknown;
    let id = "";
    {
      await using one = await executor(["--data-dir", dataDir]);
      ({ id } = one);
      bus.publish(`dea.${id}.start`, ask);
      port = (await registered(uris(ask), id))["port"];
      instance = ((await beats(id, (droplets) => droplets[0]?.["state"] === "RUNNING"))["droplets"] as { instance: string }[])[0]?.instance;
      one.program.child.kill("SIGKILL");
      expect(await one.program.code).toBe("SIGKILL");
    }
    expect(await fetchText(port)).toBe("hello a=$b");
    {
      const from = bus.heard.length;
      await using two = await executor(["--data-dir", dataDir]);
      expect(two.id).toBe(id);
      await until(() => bus.heard.slice(from).some(({ subject, body }) => subject === "router.register" && (body["uris"] as string[]).includes(uris(ask)) && body["port"] === port), 60_000);
      const [found] = await bus.request("dea.find.droplet", { droplet: ask.droplet, include_stats: true });
      expect(found).toMatchObject({ instance, state: "RUNNING" });
      two.program.child.kill("SIGTERM");
      expect(await two.program.code).toBe(0);
      expect(two.program.said.err).toContain("apps go on, and the next start takes them over");
    }
    expect(await fetchText(port)).toBe("hello a=$b");
    await using three = await executor(["--data-dir", dataDir, "--on-term", "stop"]);
    three.program.child.kill("SIGTERM");
    expect(await three.program.code).toBe(0);
    await expect(fetchText(port)).rejects.toThrow();
    expect(await bus.hear("droplet.exited", (body) => body["instance"] === instance)).toMatchObject({ reason: "DEA_SHUTDOWN" });
  }, 180_000);

  test("dea §12: USR1 takes no more work and goes on; USR2 evacuates, ends when nothing is left, and never hangs", async () => {
    await using one = await executor(["--evacuation-timeout", "600"]);
    const ask = await web();
    bus.publish(`dea.${one.id}.start`, ask);
    const route = await registered(uris(ask), one.id);
    one.program.child.kill("SIGUSR1");
    await bus.hear("dea.shutdown", (body) => body["id"] === one.id);
    expect(await bus.request(`dea.${one.id}.start`, await web())).toMatchObject([{ accepted: false, code: "DEA_CLOSED" }]);
    expect(await fetchText(route["port"])).toBe("hello a=$b");
    one.program.child.kill("SIGUSR2");
    await beats(one.id, (droplets) => droplets[0]?.["state"] === "EVACUATING");
    // Its routes stay until it runs elsewhere; then the health manager stops it here.
    expect(await fetchText(route["port"])).toBe("hello a=$b");
    one.program.child.kill("SIGUSR2");
    bus.publish("dea.stop", { droplet: ask.droplet });
    expect(await one.program.code).toBe(0);
    expect(one.program.said.err).toContain("evacuated: nothing is left here");

    await using two = await executor(["--evacuation-timeout", "1"]);
    bus.publish(`dea.${two.id}.start`, { ...ask, droplet: "left", uris: ["left.example.com"] });
    await registered("left.example.com", two.id);
    two.program.child.kill("SIGUSR2");
    expect(await two.program.code).toBe(0);
    expect(two.program.said.err).toMatch(/evacuation ended with 1 instances left: [0-9a-f]{32}/);
  }, 180_000);

  test("a second signal gives nobody more time", async () => {
    await using one = await executor(["--on-term", "stop"]);
    const ask = await startMessage({ x: "" }, "trap '' TERM; echo up; while :; do sleep 0.1; done", { uris: [] });
    bus.publish(`dea.${one.id}.start`, ask);
    await beats(one.id, (droplets) => droplets.some((each) => each["droplet"] === ask.droplet && each["state"] === "RUNNING"));
    one.program.child.kill("SIGINT");
    await one.program.says("SIGINT: leaving");
    one.program.child.kill("SIGINT");
    await one.program.says("nobody gets any more time");
    expect(await one.program.code).toBe(0);
  }, 120_000);

  test("dea §1: a DEA's own file is carried out, keys that do nothing are named; --json is one object a line", async () => {
    const config = join(folder.path, "dea.yml");
    await writeFile(config, `
nats_servers: ["${nats.url}"]
resources: { memory_mb: 800, memory_overcommit_factor: 1.5, disk_mb: 1000 }
intervals: { heartbeat: 1, advertise: 1, router_register_in_seconds: 2 }
stacks: [{ name: lucid64, package_path: null }]
placement_properties: { zone: z3 }
runtimes: { cobol: { version: 85 } }
hm9000: { listener_uri: "https://hm" }
wibble: 1
`);
    await using program = startProgram(programs.path("cli"), ["-c", config, "--json", "--backend", "process", "--isolate", "none", "--pool", "blue", "--max-instances", "3"]);
    const events = () => program.said.out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Record<string, unknown>);
    const joined = await until(() => events().find(({ event }) => event === "joined"), 60_000);
    expect(events().find(({ event }) => event === "dea.isolation")).toMatchObject({ level: "warn", backend: "process", isolation: "none" });
    expect(events().filter(({ event }) => event === "config.ignored").map(({ key }) => key)).toEqual(["hm9000", "wibble"]);
    const told = await bus.hear("dea.advertise", (body) => body["id"] === joined["id"]);
    expect(told).toMatchObject({ available_memory: 1200, available_disk: 1000, available_instances: 3, stacks: ["lucid64"], placement_properties: { zone: "z3", isolation_segment: "blue" } });
    expect((told["runtime_details"] as object[])[0]).toEqual({ name: "cobol", version: "85", found: "configured" });
    // Every second, not every five.
    const count = () => bus.heard.filter(({ subject, body }) => subject === "dea.heartbeat" && body["dea"] === joined["id"]).length;
    await until(() => count() >= 3, 60_000);
    program.child.kill("SIGTERM");
    expect(await program.code).toBe(0);
  }, 120_000);

  test("no bus there: exit code 1 and the reason; never its password", async () => {
    await using program = startProgram(programs.path("cli"), ["--nats", "nats://me:secret@127.0.0.1:1", "--backend", "process", "--isolate", "none"]);
    expect(await program.code).toBe(1);
    expect(program.said.err).toMatch(/^opencf-dea: waiting for NATS at nats:\/\/127\.0\.0\.1:1, 20 s at most$/m);
    expect(program.said.err).toMatch(/^opencf-dea: no NATS server answers at 127\.0\.0\.1:1: start one/m);
    expect(program.said.err).not.toContain("secret");
  }, 60_000);
});
