import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../../test/support/free-port.ts";
import { httpBackend, rawBackend } from "./fixtures/backend.ts";
import { bundle } from "./fixtures/bundle.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";

let programs: Awaited<ReturnType<typeof bundle>>;
let folder = "";
beforeAll(async () => {
  programs = await bundle({ cli: "src/cli.ts" });
  folder = await mkdtemp(join(tmpdir(), "opencf-router-"));
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function start(...argv: string[]) {
  const child: ChildProcess = spawn(process.execPath, [programs.path("cli"), ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout?.on("data", (text: Buffer) => { out += text.toString(); });
  child.stderr?.on("data", (text: Buffer) => { err += text.toString(); });
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  return {
    child, code, err: () => err,
    events: () => out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as { event: string; worker: number; pid: number; port: number; status?: { port: number } }),
    [Symbol.asyncDispose]: async () => { child.kill("SIGKILL"); await code; },
  };
}

async function routesFor(port: number): Promise<string> {
  const file = join(folder, `routes-${port}.yml`);
  await writeFile(file, `routes: { app.example.com: "127.0.0.1:${port}" }`);
  return file;
}

test("13.108 two workers share a port and one status, which is that of both; one that is silent or dies is named, nothing counted is lost, it is replaced; a signal drains both", async () => {
  await using app = await httpBackend((_, response) => response.end("fine"));
  await using program = start("--routes", await routesFor(app.port), "--port", "0", "--workers", "2", "--status-port", "0", "--json");
  const listening = () => program.events().filter(({ event }) => event === "listening");
  await eventually(() => listening().length === 2, 15_000, program.err);
  const [one, two] = listening();
  expect(one?.port).toBe(two?.port);
  expect(one?.status).toEqual(two?.status);
  expect(new Set([one?.worker, two?.worker])).toEqual(new Set([1, 2]));
  const port = one?.port ?? 0;
  for (let n = 0; n < 20; n += 1) expect((await ask(port)).body).toBe("fine");
  const show = (path: string) => ask(one?.status?.port ?? 0, { path });
  const varz = async () => JSON.parse((await show("/varz")).body) as { requests: number; urls: number; workers: { worker: number; pid: number; state: string }[]; sources: { file: Record<string, number> } };
  await eventually(async () => (await varz()).requests === 20);
  expect(await varz()).toMatchObject({ urls: 1, responses_2xx: 20, workers: [{ worker: 1, state: "healthy" }, { worker: 2, state: "healthy" }] });
  expect((await show("/metrics")).body).toMatch(/\nresponses\{status_group="2xx"\} 20\n[^]*\nworker_up\{worker="1"\} 1\nworker_up\{worker="2"\} 1\n[^]*\napp_responses_total\{app="",route="app.example.com",status_group="2xx"\} 20\n/);
  expect(Object.keys(JSON.parse((await show("/routes")).body) as object)).toEqual(["app.example.com"]);
  expect((await show("/")).body).toMatch(/2 of 2 workers[^]*<th scope="row">app.example.com<\/th>(<td class="n">[^<]*<\/td>){7}<td class="n">20<\/td>/);
  expect(await show("/health")).toMatchObject({ status: 200, body: "ok\n" });

  // One hangs: it is named, and what it has told before counts on.
  process.kill(two?.pid ?? 0, "SIGSTOP");
  try {
    const held = await varz();
    expect([held.requests, held.workers.map(({ worker, state }) => [worker, state])]).toEqual([20, [[one?.worker, "healthy"], [two?.worker, "silent"]].sort()]);
    expect(await show("/health")).toMatchObject({ status: 200 });
    const page = await show("/");
    expect(page.body).toContain(`1 of 2 workers</small><span class="bad">worker ${two?.worker} does not answer</span>`);
    expect((await show("/metrics")).body).toContain(`worker_up{worker="${two?.worker}"} 0`);
  } finally {
    process.kill(two?.pid ?? 0, "SIGCONT");
  }
  await eventually(async () => (await varz()).workers.every(({ state }) => state === "healthy"), 10_000);

  process.kill(one?.pid ?? 0, "SIGKILL");
  await eventually(async () => (await varz()).workers.some(({ worker, state }) => worker === one?.worker && state === "dead"), 10_000);
  await eventually(() => listening().length === 3, 15_000, program.err);
  expect(listening()[2]?.worker).toBe(one?.worker);
  await eventually(async () => (await varz()).workers.every(({ state }) => state === "healthy"), 10_000);
  expect((await varz()).requests).toBe(20);
  for (let n = 0; n < 10; n += 1) expect((await ask(port)).body).toBe("fine");
  await eventually(async () => (await varz()).requests === 30);
  expect((await show("/metrics")).body).toContain("app_responses_total{app=\"\",route=\"app.example.com\",status_group=\"2xx\"} 30");

  program.child.kill("SIGTERM");
  expect(await program.code).toBe(0);
  expect(program.events().filter(({ event }) => event === "stopped").length).toBe(2);
}, 60_000);

test("13.100 of several workers the health is that of the whole: 503 while they drain, with what is under way at all of them", async () => {
  const open: ServerResponse[] = [];
  await using app = await httpBackend((_, response) => { open.push(response); });
  await using program = start("--routes", await routesFor(app.port), "--port", "0", "--workers", "2", "--status-port", "0", "--json");
  const listening = () => program.events().filter(({ event }) => event === "listening");
  await eventually(() => listening().length === 2, 15_000, program.err);
  const [{ port, status } = { port: 0, status: { port: 0 } }] = listening();
  const asked = Array.from({ length: 4 }, () => ask(port));
  await eventually(() => open.length === 4);
  const health = () => ask(status?.port ?? 0, { path: "/health" });
  expect((await health()).status).toBe(200);
  program.child.kill("SIGTERM");
  await eventually(async () => (await health()).status === 503);
  expect((await health()).body).toBe("draining: 4 requests and 0 tunnels under way\n");
  for (const response of open) response.end("late");
  for (const answer of await Promise.all(asked)) expect(answer.body).toBe("late");
  expect(await program.code).toBe(0);
}, 40_000);

test("a status port that is taken ends them all with 1, before any of them begins", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  await using program = start("--routes", await routesFor(1), "--port", "0", "--workers", "2", "--status-port", String(port), "--json");
  expect(await program.code).toBe(1);
  expect(program.err().match(/is taken/g)).toHaveLength(1);
  expect(program.events()).toEqual([]);
  await new Promise((resolve) => holder.close(resolve));
}, 40_000);

test("a port that is taken ends them all with 1", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  await using program = start("--routes", await routesFor(1), "--port", String(port), "--workers", "2");
  expect(await program.code).toBe(1);
  expect(program.err()).toMatch(/is taken/);
  await new Promise((resolve) => holder.close(resolve));
}, 40_000);

test("a single process ends with 0 on a signal, its log written to the end", async () => {
  await using app = await httpBackend((_, response) => response.end("fine"));
  await using program = start("--routes", await routesFor(app.port), "--port", "0", "--json");
  await eventually(() => program.events().length > 0, 15_000, program.err);
  expect((await ask(program.events()[0]?.port ?? 0)).body).toBe("fine");
  program.child.kill("SIGINT");
  expect(await program.code).toBe(0);
  expect(program.events().map(({ event }) => event)).toEqual(["listening", "request", "stopped"]);
}, 40_000);

test("workers share TCP ports and the file that opens and closes them; keys that are not honoured are told once", async () => {
  await using app = await rawBackend((socket) => socket.end(`${process.pid}`));
  const [first, second] = [await freePort(), await freePort()];
  const file = join(folder, "tcp.yml");
  const text = (port: number): string => `tcp_ports: ${first},${second}\ntcp_routes: { ${port}: "127.0.0.1:${app.port}" }\npid_file: x\n`;
  await writeFile(file, text(first));
  await using program = start("-c", file, "--port", "0", "--workers", "2", "--json");
  await eventually(() => program.events().filter(({ event }) => event === "listening").length === 2, 15_000, program.err);
  for (let n = 0; n < 10; n += 1) {
    await using client = await wire(first);
    expect(await client.end()).toBe(String(process.pid));
  }
  await eventually(() => program.events().filter(({ event }) => event === "connection").length === 10, 10_000);
  await writeFile(file, text(second));
  const opens = async (port: number): Promise<boolean> => { try { await using client = await wire(port); await client.end(); return true; } catch { return false; } };
  await eventually(() => opens(second), 15_000, program.err);
  await eventually(async () => !(await opens(first)), 15_000, program.err);
  expect(program.err().split("\n").filter((line) => line.includes("pid_file"))).toHaveLength(1);
  program.child.kill("SIGTERM");
  expect(await program.code).toBe(0);
}, 60_000);

test("a configuration that makes no sense ends them all with 2, before any of them begins", async () => {
  const file = join(folder, "bad.yml");
  await writeFile(file, "routes: {}\nport: soon\n");
  await using program = start("-c", file, "--workers", "2");
  expect(await program.code).toBe(2);
  expect(program.err().match(/port: expected/g)).toHaveLength(1);
}, 40_000);
