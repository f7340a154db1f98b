import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseBytes } from "../src/cli/usage.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, webServer, writeDroplet } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";
import { freePort } from "../../../test/support/free-port.ts";

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
  expect(said.err).toContain("warning: Apps run as the executor's own user");
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
  expect(JSON.parse(json.said.out)).toMatchObject({ able: true, backends: { process: { available: true, capabilities: { filesystem: false } } } });
});

test.each([["128M", 128 * 2 ** 20], ["2G", 2 ** 31], ["1.5GiB", 1.5 * 2 ** 30], ["512kb", 512 * 1024], ["1048576", 1048576]])("size %s", (text, bytes) => {
  expect(parseBytes(text, "memory")).toBe(bytes);
});
