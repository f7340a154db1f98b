import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { misbehaving, rawBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { manualClock } from "../fixtures/rig.ts";
import { isClosed, named, resetOf, tcpRig } from "../fixtures/tcp.ts";

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
      await eventually(() => r.connections.length === 1);
    }
  });

  test("the log in JSON has an object per connection, without addresses of clients where they are hidden", async () => {
    await using app = await named("one");
    let lines = "";
    await using r = await tcpRig({ accessLog: { write: (line: string) => { lines += line; } }, accessLogFormat: { kind: "json", hideClientAddress: true } });
    r.router.table.register(`tcp:${r.port}`, app);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    { await using client = await wire(r.port); await client.until("one\n"); }
    await eventually(() => lines !== "");
    const line = JSON.parse(lines) as Record<string, unknown>;
    expect(line).toMatchObject({ route: `tcp:${r.port}`, port: r.port, protocol: "TCP", bytes_in: 0, bytes_out: 4, attempts: 1, backend: `127.0.0.1:${app.port}`, response_time: expect.any(Number) as number });
    expect(line).not.toHaveProperty("peer");
  });

  test("an endpoint that failed is held off, then tried by one connection, and taken again when it works", async () => {
    const clock = manualClock();
    await using good = await named("good");
    const server = createServer((socket) => socket.end("back\n"));
    const port = await freePort();
    await using r = await tcpRig({ clock, failureMarkMs: 30_000 });
    const route = `tcp:${r.port}`;
    r.router.table.register(route, { host: "127.0.0.1", port });
    r.router.table.register(route, good);
    await eventually(() => r.router.tcpPorts.includes(r.port));
    const say = async (): Promise<string> => { await using client = await wire(r.port); return await client.until("\n"); };
    for (let at = 0; at < 4; at += 1) expect(await say()).toBe("good\n");
    await eventually(() => r.connections.length === 4);
    expect(r.router.numbers().tcp_failed_attempts).toBe(1);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    for (let at = 0; at < 3; at += 1) expect(await say()).toBe("good\n");
    clock.advance(30_001);
    const heard = new Set<string>();
    for (let at = 0; at < 4; at += 1) heard.add(await say());
    expect(heard).toEqual(new Set(["good\n", "back\n"]));
    server.close();
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
