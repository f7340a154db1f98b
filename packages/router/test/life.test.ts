import { spawn } from "node:child_process";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../test/support/free-port.ts";
import { httpBackend } from "./fixtures/backend.ts";
import { bundle } from "./fixtures/bundle.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";

let programs: Awaited<ReturnType<typeof bundle>>;
let folder = "";
beforeAll(async () => {
  programs = await bundle({ cli: "src/cli.ts" });
  folder = await mkdtemp(join(tmpdir(), "opencf-life-"));
}, 60_000);
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Said { event: string; worker: number; pid: number; port: number; status?: { port: number } }

/** The program on a free port, before one app; it is killed at the end of the block if it still runs. */
async function started(appPort: number, ...argv: string[]) {
  const routes = join(folder, `routes-${appPort}.yml`);
  await writeFile(routes, `routes: { app.example.com: "127.0.0.1:${appPort}" }`);
  const child = spawn(process.execPath, [programs.path("cli"), "--routes", routes, "--port", String(await freePort()), "--status-port", "0", "--json", ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (text: Buffer) => { out += text.toString(); });
  child.stderr.on("data", (text: Buffer) => { err += text.toString(); });
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  const events = (): Said[] => out.split("\n").slice(0, -1).filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Said);
  const listening = (): Said[] => events().filter(({ event }) => event === "listening");
  await eventually(() => listening().length > 0 || child.exitCode !== null, 20_000, () => err);
  return {
    child, code, events, listening, err: () => err, port: listening()[0]?.port ?? 0, status: listening()[0]?.status?.port ?? 0,
    [Symbol.asyncDispose]: async () => {
      // The workers of one that is killed notice that it is gone.
      child.kill("SIGKILL");
      await code;
    },
  };
}

const health = async (port: number): Promise<number> => (await ask(port, { path: "/health" }).catch(() => ({ status: 0 }))).status;

describe("13.102 SIGUSR1", () => {
  test("health fails first while everybody is served, then nobody new is let in, what is under way ends, and the code is 0; more signals change nothing", async () => {
    let finish: (() => void) | undefined;
    await using app = await httpBackend((request, response) => {
      if (request.url !== "/slow") return response.end("fine");
      response.write("begin ");
      finish = () => response.end("end");
    });
    await using program = await started(app.port, "--drain-wait", "1500", "--drain-timeout", "60000");
    await using slow = await wire(program.port, "GET /slow HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await slow.until("begin");
    // A client that keeps its connection hears of the end with its next answer, and is not cut.
    await using kept = await wire(program.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await kept.until("fine");
    expect(kept.heard().toLowerCase()).not.toContain("connection: close");
    program.child.kill("SIGUSR1");
    await eventually(async () => await health(program.status) === 503, 10_000);
    program.child.kill("SIGUSR1");
    program.child.kill("SIGUSR1");
    kept.send("GET /again HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    expect((await kept.end(10_000)).toLowerCase()).toMatch(/fine[^]*connection: close[^]*fine$/);
    expect((await ask(program.port)).status).toBe(200);
    await eventually(() => ask(program.port).then(() => false, () => true), 20_000);
    expect(program.child.exitCode).toBeNull();
    finish?.();
    expect(await slow.end(10_000)).toContain("end");
    expect(await program.code).toBe(0);
    expect(program.events().at(-1)?.event).toBe("stopped");
  }, 60_000);

  test("does not wait longer than its deadline", async () => {
    await using app = await httpBackend((_, response) => void response.write("for ever"));
    await using program = await started(app.port, "--drain-timeout", "300");
    await using slow = await wire(program.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await slow.until("for ever");
    program.child.kill("SIGUSR1");
    expect(await program.code).toBe(0);
    await slow.end();
  }, 60_000);
});

describe("13.103 SIGTERM and SIGINT", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} drains; where stop is asked for it stops at once, and the code is 0 in both`, async () => {
      let finish: (() => void) | undefined;
      await using app = await httpBackend((_, response) => { response.write("begin "); finish = () => response.end("end"); });
      await using drained = await started(app.port, "--drain-timeout", "60000");
      await using one = await wire(drained.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      await one.until("begin");
      drained.child.kill(signal);
      await eventually(async () => await health(drained.status) === 503, 10_000);
      finish?.();
      expect(await one.end(10_000)).toContain("end");
      expect(await drained.code).toBe(0);

      await using stopped = await started(app.port, "--on-term", "stop", "--drain-wait", "60000", "--drain-timeout", "60000");
      await using other = await wire(stopped.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      await other.until("begin");
      stopped.child.kill(signal);
      expect(await other.end(10_000)).not.toContain("end");
      expect(await stopped.code).toBe(0);
    }, 60_000);
  }

  test("a second one does not wait for the first", async () => {
    await using app = await httpBackend((_, response) => void response.write("for ever"));
    await using program = await started(app.port, "--drain-wait", "60000");
    program.child.kill("SIGTERM");
    await eventually(async () => await health(program.status) === 503, 10_000);
    program.child.kill("SIGTERM");
    expect(await program.code).toBe(0);
  }, 60_000);
});

test("13.110 what cannot start says so by its code: 2 asked wrongly, 1 it did not work", async () => {
  await using app = await httpBackend((_, response) => response.end());
  for (const [argv, expected] of [[["--on-term", "later"], 2], [["--save-routes", ""], 2], [["--status-port", String(app.port)], 1]] as const) {
    await using program = await started(app.port, ...argv);
    expect([argv, await program.code]).toEqual([argv, expected]);
    expect(program.err()).toMatch(/^opencf-router: /);
  }
}, 60_000);

test("SIGHUP opens the log anew, in every worker", async () => {
  await using app = await httpBackend((_, response) => response.end("fine"));
  const log = join(folder, "hup.log");
  await using program = await started(app.port, "--access-log", log, "--workers", "2");
  await eventually(() => program.listening().length === 2, 20_000, program.err);
  for (let at = 0; at < 8; at += 1) await ask(program.port, { path: "/old" });
  const count = async (path: string, what: string): Promise<number> => (await readFile(path, "utf8").catch(() => "")).split(what).length - 1;
  await eventually(async () => await count(log, "GET /old ") === 8, 10_000);
  await rename(log, `${log}.1`);
  program.child.kill("SIGHUP");
  // Each worker opens the new one by itself; what they write before that is still in the old one.
  let asked = 0;
  await eventually(async () => {
    for (let at = 0; at < 4; at += 1, asked += 1) await ask(program.port, { path: "/new" });
    return await count(log, "GET /new ") >= 8;
  }, 20_000);
  await eventually(async () => await count(log, "GET /new ") + await count(`${log}.1`, "GET /new ") === asked, 10_000);
  program.child.kill("SIGTERM");
  expect(await program.code).toBe(0);
}, 60_000);

test("kill -9 of one of several workers costs no more than the connections it held, and it is replaced", async () => {
  await using app = await httpBackend((_, response) => response.end("fine"));
  await using program = await started(app.port, "--workers", "3");
  await eventually(() => program.listening().length === 3, 30_000, program.err);
  const served = async (): Promise<number> => (JSON.parse((await ask(program.status, { path: "/varz" })).body) as { requests: number }).requests;
  let running = true;
  let answered = 0;
  const failed: { fresh: boolean; code: string }[] = [];
  const client = async (fresh: boolean): Promise<void> => {
    const agent = fresh ? false as const : new Agent({ keepAlive: true, maxSockets: 1 });
    while (running) {
      try {
        expect((await Promise.race([ask(program.port, { agent }), new Promise<never>((_, reject) => { setTimeout(() => reject(Object.assign(new Error("no answer"), { code: "HANGS" })), 15_000).unref(); })])).body).toBe("fine");
        answered += 1;
      } catch (error) { failed.push({ fresh, code: (error as NodeJS.ErrnoException).code ?? String(error) }); }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    if (agent) agent.destroy();
  };
  const clients = [...Array.from({ length: 6 }, () => client(false)), ...Array.from({ length: 3 }, () => client(true))];
  await eventually(async () => answered > 200 && await served() > 200, 20_000);
  const victim = program.listening()[1] as Said;
  process.kill(victim.pid, "SIGKILL");
  await eventually(() => program.listening().length === 4, 30_000, program.err);
  const before = answered;
  await eventually(() => answered > before + 100, 20_000);
  running = false;
  await Promise.all(clients);
  // Each client has one connection at a time: more failures than clients would mean that others' connections were lost.
  expect([failed, failed.length <= 9]).toEqual([failed, true]);
  // A reset is what a client of the dead worker sees. Nobody waits in vain, not even one whose connection was just being handed over.
  expect(failed.filter(({ code }) => code !== "ECONNRESET")).toEqual([]);
  expect(program.listening()[3]).toMatchObject({ worker: victim.worker });
  expect(program.err()).toContain(`router.worker.died {"worker":${victim.worker},"code":null,"signal":"SIGKILL"}`);
  program.child.kill("SIGTERM");
  expect(await program.code).toBe(0);
}, 120_000);
