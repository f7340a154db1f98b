import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { parseBytes } from "../src/cli/usage.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until as untilWithin } from "./fixtures/until.ts";
import { freePort } from "../../../test/support/free-port.ts";

// Each test starts programs: on a busy machine that alone takes seconds.
vi.setConfig({ testTimeout: 120_000 });
const until = (check: () => boolean): Promise<boolean> => untilWithin(check, 60_000);

let programs: Awaited<ReturnType<typeof bundle>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  programs = await bundle({ cli: "src/cli.ts" });
  folder = await temporaryFolder();
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function cli(...args: string[]) {
  const child = spawn(process.execPath, [programs.path("cli"), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said.err += chunk.toString()));
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { said, code, child };
}

test("run: serves on the port asked for, shows the output, stops on Ctrl-C with 0", async () => {
  const droplet = await writeDroplet(join(folder.path, "web.tgz"), { "server.js": webServer }, "exec node server.js");
  const port = await freePort();
  const { said, code, child } = cli("run", droplet, "-p", String(port), "--memory", "256M", "--env", "GREETING=you");
  await until(() => said.err.includes(`running at http://127.0.0.1:${port}`));
  expect(said.err).toMatch(/^opencf-dea: backend process: isolation (bubblewrap|user-namespace|none): .+\n/);
  expect(await (await fetch(`http://127.0.0.1:${port}/shown`)).text()).toBe("hello you");
  await until(() => said.out.includes("GET /shown"));
  child.kill("SIGINT");
  expect(await code).toBe(0);
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
});

test("run --json: one object per line; a crash is exit code 1", async () => {
  const droplet = await writeDroplet(join(folder.path, "crash.tgz"), { x: "" }, "echo dying; exit 3");
  const { said, code } = cli("run", droplet, "--json");
  expect(await code).toBe(1);
  const events = said.out.trim().split("\n").map((line) => JSON.parse(line) as { event: string });
  expect(events).toContainEqual(expect.objectContaining({ event: "log", stream: "stdout", text: "dying" }));
  expect(events.at(-1)).toMatchObject({ event: "exited", reason: "exit:3", status: 3 });
  expect(said.err).toBe("");
});

test.each([
  ["exit 7", [], "app instance exited with status 7 (exit:7)"],
  ["kill -9 $$", [], "app instance exited by SIGKILL (signal:SIGKILL)"],
  ["nosuchprogram", [], "(exit:127): the command was not found"],
  ["exec sleep 100", ["--check-timeout", "1"], "(health-timeout: port-timeout): nothing listened on the port it was given"],
  ["exec dd if=/dev/zero of=big bs=1M count=40", ["--health", "process", "--disk", "20M"], "disk quota exceeded (disk-quota)"],
  [`exec node -e "const all = []; setInterval(() => all.push(Buffer.alloc(2e7, 1)), 5)"`, ["--health", "process", "--memory", "96M"], "out of memory (oom): it used more than 96 MiB"],
])("run says why it died: %s %j", async (command, options, text) => {
  const droplet = await writeDroplet(join(folder.path, "dying.tgz"), { x: "" });
  const { said, code } = cli("run", droplet, "--command", command, ...options);
  expect(await code).toBe(1);
  expect(said.err.trim().split("\n").at(-1)).toContain(text);
}, 60_000);

test("run --isolate of a kind that cannot work: exit code 1, and the reason; auto goes on with one line", async () => {
  // A user namespace in which no other may be made: as on a machine where they are forbidden.
  const forbidden = ["--user", "--map-root-user", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces 2>/dev/null && exec \"$@\"", "sh"];
  const droplet = await writeDroplet(join(folder.path, "forbidden.tgz"), { x: "" }, "echo ran");
  const unshared = (...args: string[]) => {
    const child = spawn("unshare", [...forbidden, process.execPath, programs.path("cli"), ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const said = { out: "", err: "" };
    child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (said.err += chunk.toString()));
    return { said, code: new Promise<number | null>((resolve) => { child.on("error", () => resolve(null)); child.on("close", resolve); }) };
  };
  const insisted = unshared("run", droplet, "--health", "process", "--isolate", "user-namespace");
  const outcome = await insisted.code;
  // Where not even that namespace can be made, the tests above ran without one already.
  if (outcome === null || /unshare: /.test(insisted.said.err.split("\n")[0] ?? "") && !insisted.said.err.includes("opencf-dea")) return;
  expect(outcome).toBe(1);
  expect(insisted.said.err).toMatch(/^opencf-dea: no isolation by user-namespace: /);
  const auto = unshared("run", droplet, "--health", "process");
  expect(await auto.code).toBe(0);
  expect(auto.said.out).toBe("ran\n");
  const [first = ""] = auto.said.err.split("\n");
  expect(first).toMatch(/^opencf-dea: backend process: isolation none: .*user-namespace: .*sysctl -w user\.max_user_namespaces=65536/);
}, 60_000);

test("run: a second Ctrl-C does not wait", async () => {
  const droplet = await writeDroplet(join(folder.path, "stubborn.tgz"), { x: "" }, "trap '' TERM; echo up; while :; do sleep 0.1; done");
  const { said, code, child } = cli("run", droplet, "--health", "process", "--grace", "600");
  await until(() => said.out.includes("up"));
  child.kill("SIGINT");
  await until(() => said.err.includes("stopping it"));
  child.kill("SIGINT");
  expect(await code).toBe(0);
});

test("run: a finished task is exit code 0", async () => {
  const droplet = await writeDroplet(join(folder.path, "task.tgz"), { x: "" }, "echo done");
  const { said, code } = cli("run", droplet, "--health", "process");
  expect(await code).toBe(0);
  expect(said.out).toBe("done\n");
});

test.each([
  [["run"], /give one droplet/],
  [["run", "a", "b"], /give one droplet/],
  [["run", "a", "--memory", "lots"], /--memory must be a size/],
  [["run", "a", "--port", "0"], /--port/],
  [["run", "a", "--env", "NOVALUE"], /--env must be NAME=VALUE/],
  [["run", "a", "--health", "ping"], /--health/],
  [["run", "a", "--backend", "docker"], /--backend must be process, linux or auto/],
  [["run", "a", "--isolate", "jail"], /--isolate must be auto, none, bubblewrap or user-namespace/],
  [["run", "a", "--stack", "a,b"], /--stack must be one name/],
  [["--backend", "process"], /give the bus: --nats/],
  [["--nats", "nats://a", "--config", "/nonexistent.yml"], /nonexistent.yml: ENOENT/],
  [["run", "a", "--no-such-option"], /no-such-option/],
  [["dance"], /no such command: dance/],
] as [string[], RegExp][])("asked wrongly: %j", async (args, message) => {
  const { said, code } = cli(...args);
  expect(await code).toBe(2);
  expect(said.err).toMatch(message);
});

test("--help teaches", async () => {
  const { said, code } = cli("--help");
  expect(await code).toBe(0);
  expect(said.out).toContain("Examples");
});

test("doctor says what this machine cannot isolate", async () => {
  const plain = cli("doctor");
  expect(await plain.code).toBe(0);
  expect(plain.said.out).toContain("What it does not isolate");
  expect(plain.said.out).toMatch(/Backend "linux" (works here. The kernel keeps: memory, |does not work here: the rows marked FAIL)/);
  const json = cli("doctor", "--json");
  expect(await json.code).toBe(0);
  expect(JSON.parse(json.said.out)).toMatchObject({
    able: true,
    backends: { process: { available: true, capabilities: { network: false }, sandboxes: [{ name: "bubblewrap" }, { name: "user-namespace" }] } },
    runtimes: expect.arrayContaining([expect.objectContaining({ name: "node" })]) as object[],
  });
}, 120_000);

test.each([["128M", 128 * 2 ** 20], ["2G", 2 ** 31], ["1.5GiB", 1.5 * 2 ** 30], ["512kb", 512 * 1024], ["1048576", 1048576]])("size %s", (text, bytes) => {
  expect(parseBytes(text, "memory")).toBe(bytes);
});
