import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runProgram } from "../src/cli/program.ts";
import { echo, httpBackend, misbehaving } from "./fixtures/backend.ts";
import { ask, eventually } from "./fixtures/client.ts";

let folder = "";
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), "opencf-router-")); });
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The program, with hands on its signals and ears on its output. */
function start(argv: string[], env: Record<string, string> = {}) {
  let out = "";
  let err = "";
  const signals = new Map<string, () => void>();
  const code = runProgram(argv, {
    stdout: { write: (text: string) => { out += text; } }, stderr: { write: (text: string) => { err += text; } }, env, onSignal: (signal, run) => void signals.set(signal, run),
  });
  return { code, out: () => out, err: () => err, signal: (name: string) => signals.get(name)?.(), events: () => out.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("asked wrongly", () => {
  for (const [argv, said] of [
    [[], /-c FILE, --routes FILE or --nats URL/], [["--nonsense"], /--nonsense/], [["--routes", "x.yml", "--port", "abc"], /--port abc: expected a number/], [["--routes", "x.yml", "--port", "70000"], /--port 70000/], [["positional"], /positional/],
  ] as const) {
    test(argv.join(" ") || "nothing", async () => {
      const program = start([...argv]);
      expect(await program.code).toBe(2);
      expect(program.err()).toMatch(said);
      expect(program.out()).toBe("");
    });
  }
});

test("--help teaches", async () => {
  const program = start(["--help"]);
  expect(await program.code).toBe(0);
  for (const word of ["--routes", "--nats", "--status-port", "--json", "examples", "routes.yml", "exit codes"]) expect(program.out()).toContain(word);
});

describe("from a file", () => {
  test("whoever waits for routes first is told so, and for how long", async () => {
    const routes = join(folder, "later.yml");
    await writeFile(routes, "routes:\n  a.example.com: 127.0.0.1:1\n");
    const program = start(["--routes", routes, "--port", "0", "--start-delay", "300", "--json"]);
    await eventually(() => program.events().length === 2, 5_000, () => program.out() + program.err());
    expect(program.events()).toMatchObject([{ event: "gathering", startDelayMs: 300 }, { event: "listening", routes: 1 }]);
    program.signal("SIGTERM");
    expect(await program.code).toBe(0);
    const read = start(["--routes", routes, "--port", "0", "--start-delay", "300"]);
    await eventually(() => read.out().includes("listening on"), 5_000, () => read.out() + read.err());
    expect(read.out()).toMatch(/^gathering routes for 0\.3 s before it listens\nlistening on http:/);
    read.signal("SIGTERM");
    expect(await read.code).toBe(0);
  });

  test("serves, reads it again on SIGHUP, logs, and drains on SIGTERM", async () => {
    await using one = await httpBackend((_, response) => response.end("one"));
    await using two = await httpBackend((_, response) => response.end("two"));
    const [routes, log] = [join(folder, "routes.yml"), join(folder, "access.log")];
    await writeFile(routes, `routes:\n  a.example.com: ["127.0.0.1:${one.port}"]\n  gone.example.com: 127.0.0.1:${one.port}\n`);
    const program = start(["--routes", routes, "--port", "0", "--status-port", "0", "--status-user", "ops", "--access-log", log, "--json"], { ROUTER_STATUS_PASSWORD: "pw" });
    await eventually(() => program.events().some(({ event }) => event === "listening"), 5_000, () => program.out() + program.err());
    const { port, status, routes: count } = program.events()[0] as { port: number; status: { port: number }; routes: number };
    expect(count).toBe(2);
    expect((await ask(port, { host: "a.example.com" })).body).toBe("one");
    expect((await ask(status.port, { path: "/routes" })).status).toBe(401);
    expect((await ask(status.port, { path: "/routes", headers: { authorization: `Basic ${Buffer.from("ops:pw").toString("base64")}` } })).status).toBe(200);

    await writeFile(routes, `routes:\n  a.example.com: 127.0.0.1:${two.port}\n  b.example.com/x:\n    endpoints: [127.0.0.1:${one.port}, 127.0.0.1:${two.port}]\n    load_balancing: least-connections\n`);
    program.signal("SIGHUP");
    await eventually(async () => (await ask(port, { host: "a.example.com" })).body === "two");
    expect((await ask(port, { host: "gone.example.com" })).status).toBe(404);
    expect((await ask(port, { host: "b.example.com", path: "/x" })).status).toBe(200);

    await writeFile(routes, "routes: [what");
    program.signal("SIGHUP");
    await eventually(() => program.err().includes("router.reload.failed"));
    expect((await ask(port, { host: "a.example.com" })).body).toBe("two");

    program.signal("SIGTERM");
    expect(await program.code).toBe(0);
    expect(program.events().filter(({ event }) => event === "request").length).toBeGreaterThan(3);
    expect(program.events().at(-1)).toEqual({ event: "stopped" });
    expect(await readFile(log, "utf8")).toMatch(/^a\.example\.com - \[.*\] "GET \/ HTTP\/1\.1" 200 0 3 /);
  });

  test("a second signal does not wait for the drain", async () => {
    await using app = await misbehaving.stalls();
    const routes = join(folder, "routes.yml");
    await writeFile(routes, `routes:\n  a.example.com: 127.0.0.1:${app.port}\n`);
    const program = start(["--routes", routes, "--port", "0", "--json", "--drain-timeout", "2000"]);
    await eventually(() => program.events().length > 0);
    const { port } = program.events()[0] as { port: number };
    const request = ask(port, { host: "a.example.com" }).catch(() => undefined);
    await eventually(() => app.heard() > 0);
    program.signal("SIGINT");
    program.signal("SIGINT");
    const begun = Date.now();
    expect(await program.code).toBe(0);
    expect(Date.now() - begun).toBeLessThan(1_500);
    await request;
  });

  for (const [what, text, said] of [
    ["no YAML", "routes: [", /is no YAML/], ["no routes", "hosts: {}", /no mapping "routes"/], ["no address", "routes:\n  a.b: hello", /"hello" is no address/],
    ["a port too large", "routes:\n  a.b: h:70000", /"h:70000" is no address/], ["a scheme", "routes:\n  http://a.b: h:1", /without the scheme/], ["a wrong algorithm", "routes:\n  a.b: { endpoints: [h:1], load_balancing: x }", /load_balancing: expected one of/],
  ] as const) {
    test(`${what}: exit code 1 and the reason`, async () => {
      const routes = join(folder, "routes.yml");
      await writeFile(routes, text);
      const program = start(["--routes", routes, "--port", "0"]);
      expect(await program.code).toBe(1);
      expect(program.err()).toMatch(said);
    });
  }

  test("no file: exit code 1", async () => {
    const program = start(["--routes", join(folder, "none.yml"), "--port", "0"]);
    expect(await program.code).toBe(1);
    expect(program.err()).toMatch(/cannot be read/);
  });
});

test("a taken port: exit code 1, and what to do", async () => {
  await using app = await httpBackend(echo);
  const routes = join(folder, "routes.yml");
  await writeFile(routes, `routes: { a.b: "127.0.0.1:${app.port}" }`);
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  const program = start(["--routes", routes, "--port", String(port)]);
  expect(await program.code).toBe(1);
  expect(program.err()).toMatch(/is taken: .*choose another port/);
  await new Promise((resolve) => holder.close(resolve));
});

test("no NATS server within reach: exit code 1", async () => {
  await using gone = await misbehaving.refuses();
  const program = start(["--nats", `nats://127.0.0.1:${gone.port}`, "--nats-timeout", "500", "--port", "0"]);
  expect(await program.code).toBe(1);
  expect(program.err()).toMatch(/^opencf-router: /m);
}, 30_000);
