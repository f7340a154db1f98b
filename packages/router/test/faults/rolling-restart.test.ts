import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { bundle } from "../fixtures/bundle.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { startLoad } from "./load.ts";

function hasHaproxy(): boolean {
  try {
    execFileSync("haproxy", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const present = hasHaproxy();

describe.skipIf(!present)(`behind haproxy${present ? "" : " (SKIPPED: haproxy is not installed; apt-get install haproxy)"}`, () => {
  let programs: Awaited<ReturnType<typeof bundle>>;
  let folder = "";
  const living = new Set<ChildProcess>();
  beforeAll(async () => {
    programs = await bundle({ cli: "src/cli.ts" });
    folder = await mkdtemp(join(tmpdir(), "opencf-rolling-"));
  });
  afterAll(async () => {
    for (const child of living) child.kill("SIGKILL");
    await programs[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function start(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => { output = (output + text.toString()).slice(-4_000); });
    living.add(child);
    const exited = once(child, "exit").then(([code]) => { living.delete(child); return code as number | null; });
    return { child, exited, output: () => output };
  }

  test("13.102 two routers restarted one after the other under load: no request fails", async () => {
    await using app = await httpBackend((request, response) => {
      request.resume();
      request.on("end", () => setTimeout(() => response.end("fine"), Math.random() * 20));
    });
    const routes = join(folder, "routes.yml");
    await writeFile(routes, `routes: { app.example.com: "127.0.0.1:${app.port}" }`);
    const [front, stats] = [await freePort(), await freePort()];
    const routers = [];
    for (let n = 0; n < 2; n += 1) routers.push({ port: await freePort(), status: await freePort() });
    const run = async ({ port, status }: { port: number; status: number }) => {
      const router = start(process.execPath, [programs.path("cli"), "--routes", routes, "--port", String(port), "--status-port", String(status), "--drain-wait", "1500", "--drain-timeout", "20000"]);
      await eventually(() => router.output().includes("listening on"), 30_000, router.output);
      return router;
    };
    // Health is asked often, and nothing is tried twice: what is lost is seen.
    await writeFile(join(folder, "haproxy.cfg"), [
      "defaults", "  mode http", "  timeout connect 2s", "  timeout client 30s", "  timeout server 30s", "  timeout check 2s", "  retries 0",
      "frontend in", `  bind 127.0.0.1:${front}`, "  default_backend routers",
      "backend routers", "  option httpchk GET /health",
      ...routers.map(({ port, status }, n) => `  server r${n} 127.0.0.1:${port} check port ${status} inter 100 fall 1 rise 1`),
      "frontend numbers", `  bind 127.0.0.1:${stats}`, "  stats enable", "  stats uri /stats", "",
    ].join("\n"));
    const running = [await run(routers[0] as never), await run(routers[1] as never)];
    const haproxy = start("haproxy", ["-db", "-f", join(folder, "haproxy.cfg")]);
    const up = async (n: number, wanted: string): Promise<boolean> => {
      const rows = await ask(stats, { path: "/stats;csv" }).then(({ body }) => body.split("\n"), () => []);
      return rows.some((row) => row.startsWith(`routers,r${n},`) && row.split(",")[17] === wanted);
    };
    for (const n of [0, 1]) await eventually(() => up(n, "UP"), 30_000, haproxy.output);

    const loads = [startLoad({ port: front, clients: 8 }), startLoad({ port: front, clients: 4, method: "POST" })];
    const answered = () => loads.reduce((sum, load) => sum + load.answered, 0);
    await eventually(() => answered() > 100, 20_000);
    for (const n of [0, 1, 0]) {
      const old = running[n];
      old?.child.kill("SIGTERM");
      expect(await old?.exited).toBe(0);
      running[n] = await run(routers[n] as never);
      await eventually(() => up(n, "UP"), 30_000, haproxy.output);
      const before = answered();
      await eventually(() => answered() > before + 100, 20_000);
    }
    await Promise.all(loads.map((load) => load.stop()));
    expect(loads.map(({ failures }) => failures)).toEqual([{}, {}]);
    for (const { child, exited } of [...running, haproxy]) {
      child.kill("SIGTERM");
      await exited;
    }
  }, 180_000);
});
