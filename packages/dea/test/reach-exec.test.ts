import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { createDea, type Dea, type ExecOptions, type ExecProcess, type Instance, MiB } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { openControlSocket, openReachServer, type ReachServer, runOverSocket } from "../src/reach.ts";
import { parseControl } from "../src/reach/exec-protocol.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "d.tgz"), { ".profile": "export FROM_PROFILE=yes\n", "data.txt": "data\n" });
});
afterAll(() => folder[Symbol.asyncDispose]());

const collect = async (process: ExecProcess, input?: string): Promise<{ out: string; err: string; status: object }> => {
  let out = "";
  let err = "";
  process.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
  process.stderr.on("data", (piece: Buffer) => (err += piece.toString()));
  process.stdin.end(input);
  const ends = [process.stdout, process.stderr].map((stream) => new Promise((resolve) => (stream.readableEnded || stream.destroyed ? resolve(undefined) : stream.once("close", resolve))));
  const status = await process.exited;
  await Promise.all(ends);
  return { out, err, status };
};

describe.each([["process", true], ["linux", host.able]] as const)("exec on the %s backend", (name, able) => {
  if (!able) return void test.skip("this machine cannot run containers", () => {});
  let dea: Dea;
  let app: Instance;
  let reach: ReachServer;
  const dataDir = (): string => join(folder.path, `dea-${name}`);
  beforeAll(async () => {
    dea = await createDea({ ...(name === "linux" ? { backend: await linuxBackend() } : {}), dataDir: dataDir(), memoryBytes: 2_048 * MiB, metricsMs: 200, samplingMs: 100 });
    app = await dea.start({ droplet, command: "echo up; sleep 100000", env: { GREETING: "hi $x" }, memoryBytes: 96 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 200 });
    await app.ready;
    reach = await openReachServer(dea);
  }, 60_000);
  afterAll(async () => {
    await reach[Symbol.asyncDispose]();
    await dea.close();
  }, 60_000);
  const exec = async (options: ExecOptions, input?: string): Promise<{ out: string; err: string; status: object }> => collect(await app.exec(options), input);

  test("a command: the app's variables, profile, folder and user; both outputs, input and exit code", async () => {
    const got = await exec({ command: 'pwd; echo "$GREETING $FROM_PROFILE $VCAP_APP_PORT $MORE"; cat data.txt; cat; echo oops >&2; exit 7', env: { MORE: "more" } }, "typed\n");
    expect(got.status).toEqual({ code: 7 });
    expect(got.err).toBe("oops\n");
    const [where, greeting, ...rest] = got.out.split("\n");
    expect(where).toMatch(/\/app$/);
    expect(greeting).toBe(`hi $x yes ${name === "linux" ? 8_080 : app.address.port} more`);
    expect(rest).toEqual(["data", "typed", ""]);
    if (name === "linux") expect((await exec({ argv: ["/usr/bin/id", "-un"] })).out).toBe("vcap\n");
  }, 30_000);

  test.each([
    ["ends by a signal", { argv: ["/bin/sh", "-c", "kill -TERM $$"] }],
    ["cannot be found", { argv: ["/no/such/program"] }],
  ] as [string, ExecOptions][])("a program that %s", async (title, options) => {
    const ended = await exec(options).then(({ status }) => status, (error: { code: string }) => error.code);
    if (title.startsWith("ends")) expect(ended).toEqual({ signal: "SIGTERM" });
    else expect(ended === "DEA_CONTAINER" || [1, 126, 127, 255].includes((ended as { code: number }).code)).toBe(true);
  }, 30_000);

  test("a signal from outside, and an abort", async () => {
    const trapped = await app.exec({ argv: ["/bin/sh", "-c", "trap 'echo got; exit 5' INT; echo on; while :; do sleep 0.05; done"] });
    let out = "";
    trapped.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
    await until(() => out.includes("on"));
    await trapped.signal("SIGINT");
    expect(await trapped.exited).toEqual({ code: 5 });
    const abort = new AbortController();
    const endless = await app.exec({ argv: ["/bin/sleep", "1000"], signal: abort.signal });
    abort.abort();
    expect(await endless.exited).toMatchObject({ signal: "SIGKILL" });
  }, 30_000);

  test("refused: what cannot be meant, and an instance that has ended", async () => {
    for (const options of [{ command: "a", argv: ["b"] }, { argv: [] }, { argv: ["a\0"] }, { command: "x", cwd: "/" }, { terminal: { columns: 0, rows: 1 } }]) {
      await expect(app.exec(options)).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
    }
    const short = await dea.start({ droplet, command: "sleep 1000", memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 50 });
    await short.ready;
    await short.stop();
    await expect(short.exec({ command: "true" })).rejects.toMatchObject({ code: "DEA_STOPPED" });
  }, 30_000);

  test("over a signed link: a terminal with its size, input, and how it ended", async () => {
    let out = "";
    const remote = await runOverSocket({ url: `${reach.execLink(app, { terminal: true, argv: ["/bin/sh"] })}&columns=91&rows=17`, onOutput: (_stream, bytes) => (out += bytes.toString()) });
    remote.write(Buffer.from("stty size\n"));
    await until(() => out.includes("17 91"), 20_000);
    remote.resize({ columns: 50, rows: 20 });
    await until(() => (remote.write(Buffer.from("stty size\n")), out.includes("20 50")), 20_000);
    remote.write(Buffer.from("exit 4\n"));
    expect(await remote.exited).toEqual({ code: 4 });
  }, 60_000);

  test("over a signed link: both outputs apart, end of input, signals; who goes away ends it", async () => {
    const got = { stdout: "", stderr: "" };
    const onOutput = (stream: "stdout" | "stderr", bytes: Buffer): void => void (got[stream] += bytes.toString());
    const counting = await runOverSocket({ url: reach.execLink(app, { argv: ["/bin/sh", "-c", "wc -c; echo aside >&2"] }), onOutput });
    counting.write(Buffer.alloc(100_000, "x"));
    counting.end();
    expect(await counting.exited).toEqual({ code: 0 });
    expect(got.stdout.trim()).toBe("100000");
    expect(got.stderr).toBe("aside\n");
    const leaving = new AbortController();
    const left = await runOverSocket({ url: reach.execLink(app, { argv: ["/bin/sh", "-c", "echo $$ > tmp/left; exec sleep 4711"] }), onOutput, signal: leaving.signal });
    await until(async () => (await exec({ command: "cat ../tmp/left 2>/dev/null" })).out !== "", 20_000);
    leaving.abort();
    await expect(left.exited).rejects.toMatchObject({ code: "DEA_CONTAINER" });
    await until(async () => (await exec({ command: "kill -0 $(cat ../tmp/left) 2>/dev/null && echo alive" })).out === "", 20_000);
  }, 60_000);

  test.each([
    ["an unsigned one", (link: string) => link.replace(/hmac=....../, "hmac=000000"), 401],
    ["another command", (link: string) => link.replace("true", "false"), 401],
    ["one with a command added", (link: string) => `${link}&command=id`, 401],
    ["another instance", (link: string) => link.replace(/instance_exec\/..../, "instance_exec/0000"), 401],
    ["no room", (link: string) => link.replace("instance_exec", "nothing"), 404],
  ])("a link is refused: %s", async (_title, change, status) => {
    const socket = new WebSocket(change(reach.execLink(app, { argv: ["/bin/true"] })));
    const answered = await new Promise((resolve) => socket.on("unexpected-response", (_request, response) => resolve(response.statusCode)).on("open", () => resolve("open")).on("error", () => {}));
    expect(answered).toBe(status);
    socket.terminate();
  });

  test("output that nobody reads waits, and harms nobody", async () => {
    const socket = new WebSocket(reach.execLink(app, { argv: ["/bin/sh", "-c", "head -c 30000000 /dev/zero; echo done >&2"] }), "opencf.exec.v1");
    await new Promise((resolve) => socket.once("open", resolve));
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await exec({ command: "echo still here" })).out).toBe("still here\n");
    let bytes = 0;
    let last = "";
    socket.on("message", (data: Buffer, isBinary: boolean) => (isBinary ? data[0] === 1 && (bytes += data.length - 1) : (last = data.toString())));
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(bytes).toBe(30_000_000);
    expect(JSON.parse(last)).toEqual({ exit: { code: 0 } });
  }, 60_000);

  test("opencf-dea exec: output, input, exit code; and what it refuses", async () => {
    await using _control = await openControlSocket(dea, dataDir());
    await using program = await bundle({ cli: "src/cli.ts" });
    const run = (args: string[], input = ""): Promise<{ code: number | null; out: string; err: string }> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [program.path("cli"), "exec", ...args], { stdio: "pipe" });
        let out = "";
        let err = "";
        child.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
        child.stderr.on("data", (piece: Buffer) => (err += piece.toString()));
        child.on("close", (code) => resolve({ code, out, err }));
        child.stdin.end(input);
      });
    expect(await run(["--data-dir", dataDir(), app.id, "--", "/bin/sh", "-c", "cat; echo aside >&2; exit 6"], "typed")).toEqual({ code: 6, out: "typed", err: "aside\n" });
    expect(await run(["--data-dir", dataDir(), app.id], "echo from a shell; pwd\n")).toMatchObject({ code: 0, out: expect.stringMatching(/^from a shell\n.*\/app\n$/) as string });
    expect(await run(["--data-dir", dataDir(), app.id, "-t", "--", "/bin/sh", "-c", "test -t 0 && echo a terminal"])).toMatchObject({ code: 0, out: expect.stringContaining("a terminal") as string });
    expect(await run(["--data-dir", dataDir(), app.id, "--", "/bin/sh", "-c", "kill -9 $$"])).toMatchObject({ code: 137 });
    // Input that is a file, not a pipe.
    const quiet = spawn(process.execPath, [program.path("cli"), "exec", "--data-dir", dataDir(), app.id, "--", "/bin/sh", "-c", "exit 8"], { stdio: ["ignore", "ignore", "ignore"] });
    expect(await new Promise((resolve) => quiet.on("close", resolve))).toBe(8);
    expect(await run(["--data-dir", dataDir(), "0".repeat(32), "--", "/bin/true"])).toMatchObject({ code: 1, err: expect.stringContaining("Unknown instance") as string });
    expect(await run(["--data-dir", folder.path, app.id])).toMatchObject({ code: 1, err: expect.stringContaining("no executor") as string });
    expect(await run([app.id])).toMatchObject({ code: 2 });
    expect(await run(["--data-dir", dataDir()])).toMatchObject({ code: 2 });
    expect(await run(["--data-dir", dataDir(), "nonsense"])).toMatchObject({ code: 2 });
  }, 300_000);

  test("dea §11: samples of what it uses: age, totals that grow, memory, disk, network", async () => {
    await exec({ command: "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done" });
    const samples = await until(() => (app.metrics().length >= 3 ? app.metrics() : undefined), 20_000);
    for (const [at, sample] of samples.entries()) {
      expect(sample).toMatchObject({ memoryQuotaBytes: 96 * MiB, diskQuotaBytes: 64 * MiB, log: { lines: expect.any(Number) as number, dropped: 0 } });
      const before = samples[at - 1];
      if (!before) continue;
      expect(sample.at).toBeGreaterThan(before.at);
      expect(sample.cpuNs).toBeGreaterThanOrEqual(before.cpuNs);
      expect(Math.abs(sample.cpu - (sample.cpuNs - before.cpuNs) / ((sample.at - before.at) * 1e6))).toBeLessThan(1);
    }
    expect(samples[0]?.cpu).toBe(0);
    expect(samples.at(-1)?.memoryBytes).toBeGreaterThan(0);
    expect(samples.at(-1)?.diskBytes).toBeGreaterThan(0);
    if (name === "linux") expect(samples.at(-1)?.network).toMatchObject({ receivedPackets: expect.any(Number) as number, sentBytes: expect.any(Number) as number });
    const stop = new AbortController();
    const followed: number[] = [];
    for await (const { at } of app.followMetrics({ signal: stop.signal })) if (followed.push(at) >= samples.length + 2) stop.abort();
    expect(followed).toEqual([...followed].sort((a, b) => a - b));
    expect(new Set(followed).size).toBe(followed.length);
  }, 60_000);

  // Last: it takes the executor away.
  test("after the executor was restarted an exec has the app's variables all the same", async () => {
    await dea.close({ instances: "keep" });
    dea = await createDea({ ...(name === "linux" ? { backend: await linuxBackend() } : {}), dataDir: dataDir(), memoryBytes: 2_048 * MiB });
    const again = dea.instances().find(({ id }) => id === app.id);
    const got = await collect(await (again as Instance).exec({ command: 'echo "$GREETING $FROM_PROFILE"' }));
    expect(got.out).toBe("hi $x yes\n");
  }, 60_000);
});

test.each([
  ['{"eof":true}', { eof: true }],
  ['{"signal":"SIGINT"}', { signal: "SIGINT" }],
  ['{"resize":{"columns":80,"rows":24}}', { resize: { columns: 80, rows: 24 } }],
  ['{"signal":"SIGNOTHING"}', undefined], ['{"resize":{"columns":0,"rows":24}}', undefined], ['{"resize":null}', undefined], ["nonsense", undefined], ["null", undefined], ["[]", undefined],
])("what a client may say: %s", (text, control) => {
  expect(parseControl(text)).toEqual(control);
});
