import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { RouterError } from "../../src/index.ts";
import { parsePorts } from "../../src/tcp/ports.ts";
import { parseRouteUri } from "../../src/uri.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { isClosed, named, tcpRig } from "../fixtures/tcp.ts";

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
    const { createRouter } = await import("../../src/index.ts");
    const port = await freePort();
    await using router = createRouter({ port: 0, tcp: { ports: String(port) } });
    router.table.register(`tcp:${port}`, app);
    await router.listen();
    expect(router.tcpPorts).toEqual([port]);
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
    const { createRouter } = await import("../../src/index.ts");
    for (const tcp of [{ ports: "x" }, { ports: "1", maxConnections: 0 }, { ports: "1", idleTimeoutMs: -1 }, { ports: "1", serverNameTimeoutMs: 0.5 }]) expect(() => createRouter({ tcp })).toThrow(/^tcp\./);
  });
});
