import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RouterError, type RouterOptions, type TcpRecord } from "../src/index.ts";
import { maxHelloBytes, serverNameOf } from "../src/tcp/client-hello.ts";
import { parsePorts } from "../src/tcp/ports.ts";
import { parseRouteUri } from "../src/uri.ts";
import { httpBackend, misbehaving, rawBackend } from "./fixtures/backend.ts";
import { authority } from "./fixtures/certificates.ts";
import { ask, eventually, wire } from "./fixtures/client.ts";
import { rig } from "./fixtures/rig.ts";
import { freePort } from "../../../test/support/free-port.ts";

/** Says its name, then echoes; ends when the client does. */
const named = (name: string) => rawBackend((socket) => { socket.write(`${name}\n`); socket.pipe(socket, { end: false }); });

async function tcpRig(options: RouterOptions = {}, tcp: Partial<NonNullable<RouterOptions["tcp"]>> = {}) {
  const r = await rig({ tcp: { ports: "1024-65535", ...tcp }, ...options });
  const connections: TcpRecord[] = [];
  r.router.on("connection", (record) => connections.push(record));
  return { ...r, connections, port: await freePort(), [Symbol.asyncDispose]: () => r[Symbol.asyncDispose]() };
}

const isClosed = async (port: number): Promise<boolean> => {
  const socket = connect({ host: "127.0.0.1", port });
  try { await once(socket, "connect"); return false; } catch { return true; } finally { socket.destroy(); }
};

async function resetOf(client: Socket): Promise<void> {
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => client.on("error", resolve).on("close", () => resolve(undefined)));
  expect(error?.code).toBe("ECONNRESET");
}

describe("ports of TCP routes", () => {
  test("a port is open while its route has endpoints, and closed without; connections outlive the route", async () => {
    await using app = await named("one");
    await using r = await tcpRig();
    const { port, router } = r;
    expect(await isClosed(port)).toBe(true);
    router.table.register(`tcp:${port}`, app);
    await eventually(() => router.tcpPorts.includes(port));
    await using client = await wire(port);
    await client.until("one\n");
    router.table.unregister(`tcp:${port}`, app);
    await eventually(() => isClosed(port));
    expect(router.tcpPorts).toEqual([]);
    client.send("still here");
    await client.until("still here");
    router.table.register(`tcp:${port}`, app);
    await eventually(async () => !(await isClosed(port)));
  });

  test("several apps on one port share it, in turn; it is in the table and in the numbers", async () => {
    await using one = await named("one");
    await using two = await named("two");
    await using r = await tcpRig({ status: { port: 0 } });
    const { port, router } = r;
    for (const backend of [one, two]) router.table.register(`tcp:${port}`, { host: backend.host, port: backend.port, app: "db", instanceId: "i" });
    await eventually(() => router.tcpPorts.includes(port));
    const heard = new Set<string>();
    for (let at = 0; at < 4; at += 1) {
      await using client = await wire(port);
      heard.add(await client.until("\n"));
      client.send("0123456789");
      await client.until("0123456789");
    }
    expect(heard.size).toBe(2);
    await eventually(() => r.connections.length === 4);
    expect(r.connections[0]).toMatchObject({ route: `tcp:${port}`, port, bytesIn: 10, bytesOut: 14, attempts: 1, error: undefined, endpoint: { app: "db" } });
    expect(router.numbers()).toMatchObject({ tcp_connections: 4, tcp_open_connections: 0, tcp_bytes_in: 40, tcp_bytes_out: 56, tcp_open_ports: 1, tcp_failed_connections: 0 });
    const routes = JSON.parse((await ask(router.statusAddress?.port ?? 0, { path: "/routes" })).body) as Record<string, unknown[]>;
    expect(routes[`tcp:${port}`]).toHaveLength(2);
    expect(JSON.parse((await ask(router.statusAddress?.port ?? 0, { path: "/varz" })).body)).toMatchObject({ sources: { tcp: { tcp_connections: 4 } }, urls: 1 });
  });

  test("no request can reach a TCP route, whatever its Host", async () => {
    await using app = await httpBackend((_, response) => response.end("no"));
    await using r = await tcpRig();
    r.router.table.register(`tcp:${r.port}`, app);
    for (const host of [`tcp:${r.port}`, "tcp", `tcp:${r.port}/`, `[tcp:${r.port}]`]) expect((await ask(r.router.address?.port ?? 0, { host })).status).toBeGreaterThanOrEqual(400);
    expect(app.requests).toHaveLength(0);
  });

  test("a port outside the range, or one that is taken, opens nothing and hinders no other; a taken one is opened when it is free", async () => {
    await using app = await named("one");
    const [outside, taken, good] = [await freePort(), await freePort(), await freePort()];
    const holder = createServer().listen(taken, "127.0.0.1");
    await once(holder, "listening");
    const said: [string, object | undefined][] = [];
    const log = { info() {}, warn: (event: string, data?: object) => void said.push([event, data]), error: (event: string, data?: object) => void said.push([event, data]) };
    await using r = await tcpRig({ log }, { ports: `${taken},${good}` });
    for (const port of [outside, taken, good]) r.router.table.register(`tcp:${port}`, app);
    await eventually(() => r.router.tcpPorts.includes(good) && said.length === 2, 5_000, () => JSON.stringify([said, r.router.tcpPorts, outside, taken, good]));
    expect(said).toEqual(expect.arrayContaining([["router.tcp.refused", expect.objectContaining({ port: outside })], ["router.tcp.refused", expect.objectContaining({ port: taken, error: expect.stringContaining("is taken") as string })]]));
    expect(await isClosed(outside)).toBe(true);
    expect(r.router.numbers().tcp_refused_ports).toBe(2);
    await new Promise((resolve) => holder.close(resolve));
    await eventually(() => r.router.tcpPorts.includes(taken), 15_000);
    expect(r.router.numbers().tcp_refused_ports).toBe(1);
  }, 30_000);

  test("without `tcp` such routes are held and open nothing", async () => {
    await using app = await named("one");
    await using r = await rig();
    const port = await freePort();
    r.router.table.register(`tcp:${port}`, app);
    expect([await isClosed(port), r.router.tcpPorts]).toEqual([true, []]);
  });

  test("ports that were registered before the start are open when `listen` is over", async () => {
    await using app = await named("one");
    const { createRouter } = await import("../src/index.ts");
    const port = await freePort();
    await using router = createRouter({ port: 0, tcp: { ports: String(port) } });
    router.table.register(`tcp:${port}`, app);
    await router.listen();
    expect(router.tcpPorts).toEqual([port]);
  });
});

describe("connections", () => {
  test("half-close: a client that has said all still gets the whole answer, and the other way round", async () => {
    await using late = await rawBackend((socket) => {
      let heard = "";
      socket.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
      socket.removeAllListeners("end").on("end", () => socket.end(`heard ${heard}`));
    });
    await using early = await rawBackend((socket) => {
      socket.removeAllListeners("end");
      socket.resume().end("bye");
    });
    await using r = await tcpRig();
    const { port, router } = r;
    router.table.register(`tcp:${port}`, late);
    await eventually(() => router.tcpPorts.includes(port));
    const client = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    client.end("all I have");
    let heard = "";
    client.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
    await once(client, "end");
    expect(heard).toBe("heard all I have");

    router.table.register(`tcp:${port}`, early);
    router.table.unregister(`tcp:${port}`, late);
    const second = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    second.resume();
    await once(second, "end");
    second.write("x".repeat(100_000));
    await eventually(() => early.heard() === 100_000);
    second.destroy();
  });

  test("a large transfer is held back by a slow reader, and arrives whole", async () => {
    const bytes = 20 * 1_048_576;
    await using app = await rawBackend((socket) => {
      const chunk = Buffer.alloc(65_536, 7);
      let left = bytes;
      const more = (): void => {
        while (left > 0) { left -= chunk.length; if (!socket.write(chunk)) return; }
        socket.end();
      };
      socket.on("drain", more);
      more();
    });
    await using r = await tcpRig();
    r.router.table.register(`tcp:${r.port}`, app);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    const client = connect({ host: "127.0.0.1", port: r.port });
    await once(client, "connect");
    client.pause();
    await eventually(() => app.connections() === 1);
    let heard = 0;
    client.on("data", (chunk: Buffer) => { heard += chunk.length; });
    client.resume();
    await once(client, "close");
    expect(heard).toBe(bytes);
  });

  test("an endpoint that refuses is left for another, and avoided; without any the client is reset", async () => {
    await using gone = await misbehaving.refuses();
    await using app = await named("one");
    await using r = await tcpRig();
    const { port, router } = r;
    router.table.register(`tcp:${port}`, gone);
    await eventually(() => router.tcpPorts.includes(port));
    const client = connect({ host: "127.0.0.1", port });
    await resetOf(client);
    router.table.register(`tcp:${port}`, app);
    for (let at = 0; at < 4; at += 1) {
      await using good = await wire(port);
      await good.until("one\n");
    }
    await eventually(() => r.connections.length === 5);
    expect(r.connections[0]).toMatchObject({ error: "endpoint_failure (connection refused)", attempts: 1, connectMs: undefined });
    expect(r.connections.slice(1).reduce((sum, { attempts }) => sum + attempts, 0)).toBeLessThanOrEqual(5);
    expect(router.numbers()).toMatchObject({ tcp_failed_connections: 1 });
  });

  test("a reset is passed on", async () => {
    await using app = await misbehaving.resets();
    await using r = await tcpRig();
    r.router.table.register(`tcp:${r.port}`, app);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    const client = connect({ host: "127.0.0.1", port: r.port });
    client.write("hello");
    await resetOf(client);
    await eventually(() => r.connections.length === 1);
    expect(r.connections[0]?.error).toBe("endpoint reset");
  });

  test("silence of both sides ends a connection; one that speaks keeps it", async () => {
    await using app = await named("one");
    await using r = await tcpRig({}, { idleTimeoutMs: 400 });
    r.router.table.register(`tcp:${r.port}`, app);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    await using busy = await wire(r.port);
    await using idle = await wire(r.port);
    const ended = idle.end(10_000);
    const speaking = setInterval(() => busy.send("."), 50);
    await ended;
    expect(busy.socket.destroyed).toBe(false);
    clearInterval(speaking);
    await busy.end(10_000);
    await eventually(() => r.connections.length === 2);
    expect(r.connections.map(({ error }) => error)).toEqual(["idle", "idle"]);
  });

  test("limits: of connections in all, and per endpoint", async () => {
    await using app = await named("one");
    await using r = await tcpRig({ maxConnectionsPerEndpoint: 2 }, { maxConnections: 3 });
    r.router.table.register(`tcp:${r.port}`, app);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    await using one = await wire(r.port);
    await using two = await wire(r.port);
    await one.until("one");
    await two.until("one");
    await resetOf(connect({ host: "127.0.0.1", port: r.port }));
    await eventually(() => r.connections.length === 1);
    expect(r.connections[0]?.error).toBe("Connection Limit Reached");
    r.router.table.register(`tcp:${r.port}`, app, { maxConnectionsPerEndpoint: 0 });
    await using three = await wire(r.port);
    await three.until("one");
    await resetOf(connect({ host: "127.0.0.1", port: r.port }));
    expect(r.router.numbers()).toMatchObject({ tcp_open_connections: 3, tcp_refused_connections: 1 });
  });

  test("drain: no new connections, open ones may finish, and are cut when its time is over", async () => {
    await using app = await named("one");
    for (const finishes of [true, false]) {
      await using r = await tcpRig();
      r.router.table.register(`tcp:${r.port}`, app);
      await eventually(() => r.router.tcpPorts.includes(r.port));
      await using client = await wire(r.port);
      await client.until("one");
      const drained = r.router.drain({ timeoutMs: finishes ? 60_000 : 300 });
      await eventually(() => isClosed(r.port));
      client.send("last words");
      await client.until("last words");
      if (finishes) client.socket.end();
      await drained;
      await client.end();
      expect(r.connections).toHaveLength(1);
    }
  });

  test("the log has a line per connection", async () => {
    await using app = await named("one");
    let lines = "";
    await using r = await tcpRig({ accessLog: { write: (line: string) => { lines += line; } } });
    r.router.table.register(`tcp:${r.port}`, { host: app.host, port: app.port, app: "guid", instanceIndex: "0", instanceId: "i-1" });
    await eventually(() => r.router.tcpPorts.includes(r.port));
    { await using client = await wire(r.port); await client.until("one\n"); }
    await eventually(() => lines !== "");
    expect(lines).toMatch(new RegExp(`^tcp:${r.port} - \\[[0-9T:.-]+Z\\] "TCP ${r.port} -" 0 4 "127\\.0\\.0\\.1:\\d+" "127\\.0\\.0\\.1:${app.port}" server_name:"-" response_time:\\d+\\.\\d{6} connect_time:\\d+\\.\\d{6} attempts:1 app_id:"guid" app_index:"0" instance_id:"i-1" error:"-"\\n$`));
  });
});

const own = authority();
describe.skipIf(own === undefined)("names in the TLS handshake", () => {
  async function tlsBackend(name: string) {
    const server = createTlsServer(own?.sign(name) as { cert: string; key: string }, (socket) => { socket.on("error", () => undefined); socket.end(name); });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { host: "127.0.0.1", port: (server.address() as { port: number }).port, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
  }

  async function call(port: number, servername: string): Promise<string> {
    const socket = connectTls({ host: "127.0.0.1", port, servername, ca: own?.ca as string, rejectUnauthorized: false });
    let heard = "";
    socket.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
    await new Promise<void>((resolve) => socket.on("close", () => resolve()).on("error", () => undefined));
    return heard;
  }

  test("one port, several apps: by the client's name, without regard to case; the plain route serves the others, and those that do not speak TLS", async () => {
    await using a = await tlsBackend("a.example.com");
    await using b = await tlsBackend("b.example.com");
    await using plain = await named("plain");
    await using r = await tcpRig({}, { serverNameTimeoutMs: 300 });
    r.router.table.register(`tcp:${r.port}/a.example.com`, a);
    r.router.table.register(`tcp:${r.port}/B.example.com`, b);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    expect(await call(r.port, "a.example.com")).toBe("a.example.com");
    expect(await call(r.port, "B.Example.com")).toBe("b.example.com");
    expect(await call(r.port, "c.example.com")).toBe("");
    r.router.table.register(`tcp:${r.port}`, plain);
    for (const words of ["hello, no TLS", ""]) {
      await using client = await wire(r.port, words);
      await client.until("plain");
    }
    await eventually(() => r.connections.length === 5);
    expect(r.connections.map(({ serverName, error }) => [serverName, error])).toEqual([["a.example.com", undefined], ["b.example.com", undefined], ["c.example.com", "no_endpoints"], ["", undefined], ["", undefined]]);
  });

  test("an endpoint that registered a TLS port is spoken to by TLS, and must be who it says", async () => {
    await using app = await tlsBackend("a.internal");
    await using r = await tcpRig({ backendCa: own?.ca ?? "" });
    const route = `tcp:${r.port}`;
    r.router.table.register(route, { host: app.host, tlsPort: app.port, serverCertDomainSan: "a.internal" });
    await eventually(() => r.router.tcpPorts.includes(r.port));
    await using client = await wire(r.port);
    expect(await client.end()).toBe("a.internal");
    r.router.table.register(route, { host: app.host, tlsPort: app.port, serverCertDomainSan: "b.internal" });
    await using second = await wire(r.port);
    expect(await second.end()).toBe("");
    await eventually(() => r.connections.length === 2);
    expect(r.connections[1]?.error).toBe("endpoint_failure (hostname mismatch)");
    // It is not what was registered: it leaves the table, and with it the port.
    await eventually(() => isClosed(r.port));
  });

  test("the name is found however the handshake is cut to pieces; nothing else has a name", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const accepted = once(server, "connection");
    const client = connectTls({ host: "127.0.0.1", port: (server.address() as { port: number }).port, servername: "Some.Example.com" });
    client.on("error", () => undefined);
    const [socket] = await accepted as [Socket];
    const [hello] = await once(socket, "data") as [Buffer];
    client.destroy();
    socket.destroy();
    server.close();
    expect(serverNameOf(hello)).toEqual({ name: "some.example.com" });
    for (let length = 0; length < hello.length; length += 1) expect(serverNameOf(hello.subarray(0, length))).toBe("more");
    // The same in records of a few bytes each.
    const message = hello.subarray(5);
    for (const size of [1, 3, 100]) {
      const records: Buffer[] = [];
      for (let at = 0; at < message.length; at += size) {
        const part = message.subarray(at, at + size);
        records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
      }
      const whole = Buffer.concat(records);
      if (whole.length < maxHelloBytes) expect(serverNameOf(whole)).toEqual({ name: "some.example.com" });
    }
    fc.assert(fc.property(fc.nat(hello.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(hello);
      changed[at] = value;
      const found = serverNameOf(changed);
      expect(found === "more" || typeof found.name === "string").toBe(true);
    }), { numRuns: 2_000 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const found = serverNameOf(Buffer.from([22, 3, 1, ...bytes]));
      expect(found === "more" || typeof found.name === "string").toBe(true);
    }), { numRuns: 2_000 });
    expect(serverNameOf(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toEqual({ name: "" });
    expect(serverNameOf(Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0]), Buffer.alloc(maxHelloBytes)]))).toEqual({ name: "" });
  });
});

describe("words", () => {
  test("ranges", () => {
    const range = parsePorts("1024-1123, 2000");
    expect([range.count, range.has(1024), range.has(1123), range.has(1124), range.has(2000), range.has(1023)]).toEqual([101, true, true, false, true, false]);
    for (const bad of ["", "a", "0", "70000", "10-5", "1-3,2", "1,1", "1-", "-1", "1.5"]) expect(() => parsePorts(bad), bad).toThrow(RouterError);
  });

  test("routes", () => {
    expect(parseRouteUri("tcp:2222")).toEqual({ host: "tcp:2222", path: "" });
    expect(parseRouteUri("tcp:02222/DB.example.com")).toEqual({ host: "tcp:2222", path: "/db.example.com" });
    for (const bad of ["tcp:", "tcp:0", "tcp:65536", "tcp:x", "tcp:22/a/b", "tcp:22/", "tcp://host:22", "tcp:22?x", "tcp:22/<"]) expect(() => parseRouteUri(bad), bad).toThrow(RouterError);
  });

  test("options", async () => {
    const { createRouter } = await import("../src/index.ts");
    for (const tcp of [{ ports: "x" }, { ports: "1", maxConnections: 0 }, { ports: "1", idleTimeoutMs: -1 }, { ports: "1", serverNameTimeoutMs: 0.5 }]) expect(() => createRouter({ tcp })).toThrow(/^tcp\./);
  });
});
