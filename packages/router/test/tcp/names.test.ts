import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { maxHelloBytes, serverNameOf } from "../../src/tcp/client-hello.ts";
import { authority } from "../fixtures/certificates.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { isClosed, named, tcpRig } from "../fixtures/tcp.ts";

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
