import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hasNatsServer, startNatsServer } from "../../bus/test/fixtures/nats-server.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { runProgram } from "../src/cli/program.ts";
import { httpBackend, rawBackend } from "./fixtures/backend.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";

let folder = "";
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), "opencf-router-")); });
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The program, with hands on its signals and ears on its output. */
function start(...argv: string[]) {
  let out = "";
  let err = "";
  const signals = new Map<string, () => void>();
  const code = runProgram(argv, {
    stdout: { write: (text: string) => { out += text; } }, stderr: { write: (text: string) => { err += text; } }, env: {}, onSignal: (signal, run) => void signals.set(signal, run),
  });
  const events = (): Record<string, unknown>[] => out.trim().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>);
  return {
    code, out: () => out, err: () => err, events, signal: (name: string) => signals.get(name)?.(),
    async listening() {
      await eventually(() => events().some(({ event }) => event === "listening"), 20_000, () => out + err);
      return events().find(({ event }) => event === "listening") as { port: number; tcpPorts?: number[]; routes: number; status?: { port: number } };
    },
    [Symbol.asyncDispose]: async () => { signals.get("SIGTERM")?.(); await code; },
  };
}

async function file(text: string, name = "routes.yml"): Promise<string> {
  const path = join(folder, name);
  // As editors do: the new file takes the place of the old one.
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
  return path;
}

describe("-c with routes", () => {
  test("is watched: an edit is taken without a signal, and no connection is dropped for it", async () => {
    let download: ServerResponse | undefined;
    await using one = await httpBackend((request, response) => {
      if (request.url !== "/large") return void response.end("one");
      download = response;
      response.write("begun");
    });
    await using two = await httpBackend((_, response) => response.end("two"));
    await using program = start("-c", await file(`routes:\n  a.example.com: [127.0.0.1:${one.port}]\n`), "--port", "0", "--json");
    const { port } = await program.listening();
    const kept = await wire(port, "GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
    await kept.until("one");
    const large = ask(port, { host: "a.example.com", path: "/large" });
    await eventually(() => download !== undefined);

    await file(`routes:\n  a.example.com: [127.0.0.1:${two.port}]\n  "*.b.example.com": 127.0.0.1:${two.port}\n`);
    await eventually(async () => (await ask(port, { host: "a.example.com" })).body === "two", 10_000);
    expect((await ask(port, { host: "x.b.example.com" })).body).toBe("two");
    kept.send("GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n");
    await kept.until("two");
    await kept[Symbol.asyncDispose]();
    download?.end(" and ended");
    const answer = await large;
    expect([answer.status, answer.body, answer.complete]).toEqual([200, "begun and ended", true]);
  });

  test("requests go on without a single failure while the file changes to and fro", async () => {
    await using one = await httpBackend((_, response) => response.end("one"));
    await using two = await httpBackend((_, response) => response.end("two"));
    const text = (n: number): string => `routes:\n  a.example.com: 127.0.0.1:${n % 2 === 0 ? one.port : two.port}\n`;
    await using program = start("-c", await file(text(0)), "--port", "0", "--json");
    const { port } = await program.listening();
    const bodies = new Set<string>();
    let asked = 0;
    for (let n = 1; n <= 10; n += 1) {
      await file(text(n));
      program.signal("SIGHUP");
      await eventually(async () => {
        asked += 1;
        const { status, body } = await ask(port, { host: "a.example.com" });
        expect(status).toBe(200);
        bodies.add(body);
        return body === (n % 2 === 0 ? "one" : "two");
      });
    }
    expect([bodies.size, asked >= 10]).toEqual([2, true]);
  });

  test("a bad edit keeps the old routes and says why; the next good one is taken; keys that need a restart are named", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    const good = `routes:\n  a.example.com: 127.0.0.1:${app.port}\n`;
    const path = await file(good);
    await using program = start("-c", path, "--port", "0", "--json");
    const { port } = await program.listening();
    for (const [bad, said] of [
      ["routes: [", "is no YAML"], ["routes: { a.example.com: nowhere }", "is no address"], [`routes: { a.example.com: { endpoints: ["127.0.0.1:${app.port}"], load_balancing: magic } }`, "load_balancing: expected one of"],
      [`routes: { a.example.com: { endpoints: ["127.0.0.1:${app.port}"], lod_balancing: hash } }`, "lod_balancing is none of"], [`routes: { a.example.com: [{ address: "127.0.0.1:${app.port}", tsl: true }] }`, "tsl is none of"],
      [`routes: { a.example.com: { endpoints: ["127.0.0.1:${app.port}"], load_balancing: hash } }`, "needs hashHeader"],
    ] as const) {
      await file(bad);
      await eventually(() => program.err().includes(said), 10_000, program.err);
      expect((await ask(port, { host: "a.example.com" })).body).toBe("fine");
    }
    await rm(path);
    program.signal("SIGHUP");
    await eventually(() => program.err().includes("cannot be read"));
    await file(`${good}  b.example.com: 127.0.0.1:${app.port}\nport: 1234\n`);
    await eventually(async () => (await ask(port, { host: "b.example.com" })).status === 200, 10_000);
    await eventually(() => program.err().includes("router.config.restart"));
    expect(program.err()).toMatch(/router\.config\.restart \{"keys":\["port"\]/);
  }, 40_000);

  test("TCP routes are opened and closed with the file", async () => {
    await using app = await rawBackend((socket) => socket.write("hello\n"));
    const [first, second] = [await freePort(), await freePort()];
    const text = (port: number): string => `tcp_ports: ${Math.min(first, second)}-${Math.max(first, second)}\ntcp_routes:\n  ${port}: 127.0.0.1:${app.port}\n`;
    await using program = start("-c", await file(text(first)), "--port", "0", "--json");
    expect((await program.listening()).tcpPorts).toEqual([first]);
    { await using client = await wire(first); await client.until("hello"); }
    await eventually(() => program.events().some(({ event }) => event === "connection"));
    expect(program.events().find(({ event }) => event === "connection")).toMatchObject({ route: `tcp:${first}`, endpoint: `127.0.0.1:${app.port}`, bytesOut: 6 });
    await file(text(second));
    await eventually(async () => {
      const socket = connect({ host: "127.0.0.1", port: second });
      const open = await new Promise<boolean>((resolve) => socket.on("connect", () => resolve(true)).on("error", () => resolve(false)));
      socket.destroy();
      return open;
    }, 10_000);
    await expect(wire(first)).rejects.toThrow(/ECONNREFUSED/);
  });

  test("endpoints may be told in full: TLS name, zone, instance; options as the library has them", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using program = start("-c", await file(`
routes:
  a.example.com:
    endpoints: [{ address: "127.0.0.1:${app.port}", app: guid, instance_id: i-7, availability_zone: z1, tags: { component: shop } }]
    load_balancing: least-connections
    max_attempts: 1
    sticky_cookie_names: [SID]
status: { port: 0 }
`), "--port", "0", "--json");
    const { port, status } = await program.listening();
    expect((await ask(port, { host: "a.example.com" })).status).toBe(200);
    const routes = JSON.parse((await ask(status?.port ?? 0, { path: "/routes" })).body) as Record<string, Record<string, unknown>[]>;
    expect(routes["a.example.com"]?.[0]).toMatchObject({ private_instance_id: "i-7", availability_zone: "z1", tags: { component: "shop" } });
  });
});

describe("-c that makes no sense", () => {
  for (const [what, text, said] of [
    ["bad values", "port: x\nendpoint_timeout: soon\nroutes: {}", /port: expected a whole number.*\n.*endpoint_timeout: expected a duration/], ["a bad route", "routes: { a.b: nonsense }", /"nonsense" is no address/],
    ["no YAML", "port: [", /no YAML/], ["a bad allow-list", "routes: {}\nroute_services_secret: s\nroute_services_hairpinning: true\nroute_services_hairpinning_allowlist: ['*']", /"\*" is neither a name/],
  ] as const) {
    test(`13.110: ${what}: exit code 2`, async () => {
      const program = start("-c", await file(text), "--port", "0");
      expect(await program.code).toBe(2);
      expect(program.err()).toMatch(said);
    });
  }

  test("13.94: entries of the allow-list that are no names fail the start", async () => {
    for (const bad of ["*.*.example.com", "https://a.example.com", "a.example.com/path"]) {
      const program = start("-c", await file(JSON.stringify({ routes: {}, route_services_secret: "s", route_services_hairpinning: true, route_services_hairpinning_allowlist: [bad] })), "--port", "0");
      expect(await program.code).toBe(2);
    }
  });

  test("no file: exit code 2; flags that need others", async () => {
    for (const argv of [["-c", join(folder, "none.yml")], ["--check-config"], ["-c", "x", "--engine", "steam"]]) expect(await start(...argv).code).toBe(2);
    const tcp = start("-c", await file("routes: {}"), "--tcp-ports", "9-1", "--port", "0");
    expect([await tcp.code, tcp.err()]).toEqual([2, expect.stringContaining("tcp.ports")]);
  });
});

describe("what becomes of keys", () => {
  test("--check-config lists the keys of the file and starts nothing; --list-keys lists all that are known", async () => {
    const path = await file("port: 80\nmax_idle_conns: 100\nsome_typo: 1\nread_header_timeout: 0s\n", "gorouter.yml");
    const people = start("-c", path, "--check-config");
    expect(await people.code).toBe(0);
    expect(people.out()).toMatch(/^port +honoured\nmax_idle_conns +not honoured +idle connections .*\nsome_typo +unknown +.*\nread_header_timeout +partly honoured +there is always a limit: 60 s\n$/);
    const machines = start("-c", path, "--check-config", "--json");
    expect(await machines.code).toBe(0);
    expect(machines.events().map(({ key, state }) => [key, state])).toEqual([["port", "honoured"], ["max_idle_conns", "not honoured"], ["some_typo", "unknown"], ["read_header_timeout", "partly honoured"]]);
    const all = start("--list-keys", "--json");
    expect(await all.code).toBe(0);
    expect(all.events().length).toBeGreaterThan(100);
    expect(await start("--list-keys").code).toBe(0);
  });

  test("at the start every key that is not honoured, or not known, is named on standard error", async () => {
    await using program = start("-c", await file("routes: {}\nmax_idle_conns: 100\nsome_typo: { secret: hush }\npid_file: x\nindex: 1\n"), "--port", "0", "--json");
    await program.listening();
    const lines = program.err().split("\n").flatMap((line) => {
      const [, text] = /^\d{4}-\d\d-\d\dT[\d:.]+Z router\.config\.key (.*)$/.exec(line) ?? [];
      return text === undefined ? [] : [JSON.parse(text) as { key: string; state: string }];
    });
    expect(lines.map(({ key, state }) => [key, state])).toEqual([["max_idle_conns", "not honoured"], ["some_typo", "unknown"], ["pid_file", "not honoured"]]);
    expect(program.err()).not.toContain("hush");
  });
});

describe.skipIf(!hasNatsServer())("a gorouter's file and a real bus", () => {
  test("HTTP and TCP routes come from raw router.register messages, and go with router.unregister", async () => {
    await using nats = await startNatsServer({ jetStream: false });
    await using web = await httpBackend((_, response) => response.end("web"));
    await using db = await rawBackend((socket) => socket.write("db\n"));
    const [port, statusPort, tcpPort, insidePort] = [await freePort(), await freePort(), await freePort(), await freePort()];
    const natsPort = new URL(nats.url).port;
    const path = await file(`
port: ${port}
nats: { hosts: [{ hostname: 127.0.0.1, port: ${natsPort} }] }
status: { host: 127.0.0.1, port: ${statusPort}, routes: { port: ${insidePort} } }
start_response_delay_interval: 1s
access_log: { file: ${join(folder, "access.log")} }
trace_key: "22"
enable_something: true
`, "gorouter.yml");
    await using program = start("-c", path, "--host", "127.0.0.1", "--tcp-ports", String(tcpPort), "--json");
    await program.listening();
    expect(program.err()).toContain("\"enable_something\"");
    await using emitter = await wire(Number(natsPort));
    await emitter.until("INFO");
    emitter.send("CONNECT {\"verbose\":false}\r\n");
    const say = (subject: string, body: object): void => { const text = JSON.stringify(body); emitter.send(`PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`); };
    const webRoute = { host: web.host, port: web.port, uris: ["Shop.example.com/App"], app: "guid", private_instance_id: "i-1" };
    const dbRoute = { host: db.host, port: db.port, uris: [`tcp:${tcpPort}`], app: "db" };
    say("router.register", webRoute);
    say("router.register", dbRoute);
    // Paths without case, as in a gorouter.
    await eventually(async () => (await ask(port, { host: "shop.example.com", path: "/app/x" })).body === "web", 10_000);
    await eventually(async () => {
      try { await using client = await wire(tcpPort); return (await client.until("db\n")) === "db\n"; } catch { return false; }
    }, 10_000);
    expect((await ask(port, { host: "shop.example.com", path: "/APP", headers: { "x-vcap-trace": "22" } })).headers["x-cf-routeendpoint"]).toBe(`${web.host}:${web.port}`);
    expect((await ask(statusPort, { path: "/health" })).status).toBe(200);
    say("router.unregister", dbRoute);
    await eventually(async () => { try { await using client = await wire(tcpPort); client.heard(); return false; } catch { return true; } }, 10_000);
    say("router.unregister", webRoute);
    await eventually(async () => (await ask(port, { host: "shop.example.com", path: "/app" })).status === 404, 10_000);
  }, 60_000);

  test("publish_active_apps_interval says which apps had requests, deflated, on router.active_apps; healthcheck_user_agent asks for the health where requests come in", async () => {
    await using nats = await startNatsServer({ jetStream: false });
    await using web = await httpBackend((_, response) => response.end("web"));
    const [port, statusPort, insidePort, natsPort] = [await freePort(), await freePort(), await freePort(), new URL(nats.url).port];
    const log = join(folder, "access.log");
    const path = await file(`
port: ${port}
nats: { hosts: [{ hostname: 127.0.0.1, port: ${natsPort} }] }
status: { host: 127.0.0.1, port: ${statusPort}, routes: { port: ${insidePort} } }
start_response_delay_interval: 0s
publish_active_apps_interval: 100ms
healthcheck_user_agent: HTTP-Monitor/1.1
access_log: { file: ${log} }
`, "gorouter.yml");
    await using program = start("-c", path, "--host", "127.0.0.1", "--json");
    await program.listening();
    expect(program.err()).not.toContain("router.config.key");
    const listener = connect({ host: "127.0.0.1", port: Number(natsPort) });
    let heard = Buffer.alloc(0);
    listener.on("data", (chunk: Buffer) => { heard = Buffer.concat([heard, chunk]); });
    listener.write("CONNECT {\"verbose\":false}\r\nSUB router.active_apps 1\r\n");
    const route = JSON.stringify({ host: web.host, port: web.port, uris: ["shop.example.com"], app: "guid-1" });
    await eventually(async () => {
      // More than once, as emitters do: the first may come before the router's subscription has reached the server.
      listener.write(`PUB router.register ${route.length}\r\n${route}\r\n`);
      return (await ask(port, { host: "shop.example.com" })).body === "web";
    }, 10_000);
    await eventually(() => heard.includes("MSG router.active_apps"), 10_000);
    const head = /MSG router\.active_apps 1 (\d+)\r\n/.exec(heard.toString("latin1"));
    const begin = (head?.index ?? 0) + (head?.[0].length ?? 0);
    await eventually(() => heard.length >= begin + Number(head?.[1]));
    expect(JSON.parse(inflateSync(heard.subarray(begin, begin + Number(head?.[1]))).toString())).toEqual(["guid-1"]);
    listener.destroy();

    expect(await ask(port, { host: "nobody.example.com", headers: { "user-agent": "HTTP-Monitor/1.1" } })).toMatchObject({ status: 200, body: "ok\n" });
    await eventually(async () => (await readFile(log, "utf8")).includes("shop.example.com"));
    expect(await readFile(log, "utf8")).not.toContain("HTTP-Monitor");
  }, 60_000);
});
