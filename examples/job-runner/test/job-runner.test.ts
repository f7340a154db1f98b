import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Bus, createBus, memoryTransport } from "@opencf/bus";
import { createDea, MiB } from "@opencf/dea";
import { joinBus, type Membership } from "@opencf/dea/bus-link";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { serveDroplet } from "../droplet.ts";
import { createJobRunner, type JobRunner } from "../runner.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "opencf-job-runner-"));
  await mkdir(join(folder, "jobs"));
  await writeFile(join(folder, "jobs", "input.txt"), "one\ntwo\n");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("over the bus, with real executors", () => {
  let bus: Bus;
  let droplet: Awaited<ReturnType<typeof serveDroplet>>;
  let runner: JobRunner;
  let members: Membership[];
  /** Jobs call home: what they said, and who is still on the line. */
  let home: Server;
  let call: string;
  const told: string[] = [];
  const calls = new Set<Socket>();

  beforeAll(async () => {
    home = createServer((socket) => {
      calls.add(socket);
      socket.on("error", () => {}).on("data", (text) => told.push(...text.toString().trim().split("\n"))).on("close", () => calls.delete(socket));
    }).listen(0, "127.0.0.1");
    await once(home, "listening");
    call = `exec 3<>/dev/tcp/127.0.0.1/${(home.address() as AddressInfo).port}`;
  });
  afterAll(() => void home.close());

  beforeEach(async () => {
    bus = await createBus({ transport: memoryTransport() });
    droplet = await serveDroplet(join(folder, "jobs"));
    members = await Promise.all([1, 2].map(async () => joinBus(await createDea({ memoryBytes: 256 * MiB }), bus)));
    runner = createJobRunner(bus, droplet);
    await expect.poll(() => runner.executors, { timeout: 10_000 }).toBe(2);
  });
  afterEach(async () => {
    runner[Symbol.dispose]();
    await Promise.all(members.map((member) => member.leave({ instances: "stop" })));
    await droplet[Symbol.asyncDispose]();
    await bus[Symbol.asyncDispose]();
  });

  test("each job runs once; more than fit at a time wait for room; both executors have a part", { timeout: 120_000 }, async () => {
    const results = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => runner.run({ command: `${call}; echo ${n} >&3; sleep 0.3; wc -l < input.txt; echo "$WHO"`, env: [`WHO=job ${n}`] })));
    for (const [at, { state, reason, exit_status: status, log_tail: lines = [] }] of results.entries()) {
      expect({ state, reason, status }).toEqual({ state: "SUCCEEDED", reason: "exit:0", status: 0 });
      expect(lines.join("\n")).toMatch(new RegExp(`2[^]*job ${at + 1}`));
    }
    expect(new Set(results.map(({ dea }) => dea)).size).toBe(2);
    expect(told.sort()).toEqual(["1", "2", "3", "4", "5", "6"]);
  });

  test.each<[string, Parameters<JobRunner["run"]>[0], object]>([
    ["a status", { command: "exit 3" }, { state: "FAILED", reason: "exit:3", exit_status: 3 }],
    ["no such program", { command: "no-such-program" }, { state: "FAILED", reason: "exit:127", exit_status: 127 }],
    ["time that is over", { command: "sleep 1000", timeoutSeconds: 1 }, { state: "FAILED", reason: "timeout" }],
  ])("a job that fails says how: %s", { timeout: 60_000 }, async (_, job, result) => {
    expect(await runner.run(job)).toMatchObject(result);
  });

  test("a job that is called off is ended where it runs; one that fits nowhere is told why", { timeout: 60_000 }, async () => {
    const stop = new AbortController();
    const running = runner.run({ command: `${call}; exec sleep 1000` }, { signal: stop.signal });
    await expect.poll(() => calls.size, { timeout: 20_000 }).toBe(1);
    stop.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    // What it held open is closed: nobody is there any more.
    await expect.poll(() => calls.size, { timeout: 30_000 }).toBe(0);
    await expect(runner.run({ command: "true", memoryMb: 1_024 }, { placeWithinMs: 1 })).rejects.toThrow(/no executor takes it: memory: 1024 MB asked, at most 256 MB free/);
  });
});

describe("the program", () => {
  const here = fileURLToPath(new URL("..", import.meta.url));
  let program = "";
  beforeAll(async () => {
    program = join(folder, "cli.mjs");
    await build({
      entryPoints: [join(here, "cli.ts")], outfile: program, bundle: true, platform: "node", target: "node20", format: "esm", logLevel: "error",
      banner: { js: 'import { createRequire as _require } from "node:module"; const require = _require(import.meta.url);' },
    });
  });
  const run = async (...args: string[]): Promise<{ code: number | null; out: string }> => {
    const child: ChildProcess = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (out += text.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, out };
  };

  test("as the README says it", { timeout: 120_000 }, async () => {
    const { code, out } = await run("--folder", here, "ls", "exit 3");
    expect(out).toMatch(/^ok {5}ls {2}\(exit:0, status 0, \d+\.\d s, on [0-9a-f]{8}\)\n {9}README\.md$/m);
    expect(out).toMatch(/^FAILED exit 3 {2}\(exit:3, status 3, \d+\.\d s, on [0-9a-f]{8}\)$/m);
    expect(code).toBe(1);
    const json = await run("--json", "--executors", "1", "--folder", here, "echo hello");
    expect([json.code, JSON.parse(json.out)]).toMatchObject([0, { command: "echo hello", state: "SUCCEEDED", log_tail: [expect.stringContaining("hello")] }]);
  });

  test.each([[[], /at least one command/], [["--executors", "0", "date"], /--executors must be/], [["--no-such-flag"], /--no-such-flag/]] as [string[], RegExp][])("asked wrongly: %j", async (args, text) => {
    const { code, out } = await run(...args);
    expect([code, out]).toEqual([2, expect.stringMatching(text)]);
  });
});
