import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { afterAll, describe, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { createRouter, type Router } from "../../src/index.ts";
import { rawBackend } from "../fixtures/backend.ts";
import { authority } from "../fixtures/certificates.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { named, tcpRig } from "../fixtures/tcp.ts";

const ca = authority();
const folder = mkdtempSync(join(tmpdir(), "opencf-tcp-tls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Said { readonly socket: TLSSocket; heard(): string; until(text: string): Promise<void> }

/** A client of TLS that trusts the test's authority. */
async function client(port: number, more: ConnectionOptions = {}): Promise<Said> {
  const socket = connectTls({ host: "127.0.0.1", port, servername: "db.example.com", ca: ca?.ca, ...more });
  let heard = "";
  socket.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
  await once(socket, "secureConnect");
  socket.on("error", () => undefined);
  return { socket, heard: () => heard, until: (text) => eventually(() => heard.includes(text), 10_000, () => heard) };
}

const open = (router: Router, port: number): Promise<void> => eventually(() => router.tcpPorts.includes(port), 10_000);
const shown = (socket: TLSSocket): string => socket.getPeerCertificate().subjectaltname ?? "";

describe.skipIf(ca === undefined)("TLS that ends at a TCP port", () => {
  test("the endpoint gets what was inside, both ways and half-closed; ports beside it pass TLS through as before", async () => {
    const certificate = ca?.sign("db.example.com") ?? { cert: "", key: "" };
    const plain = await freePort();
    await using app = await rawBackend((socket) => {
      let heard = "";
      socket.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
      socket.removeAllListeners("end").on("end", () => socket.end(`heard ${heard.length}`));
    });
    const port = await freePort();
    await using r = await tcpRig({}, { tls: { ports: String(port), certificates: [certificate] } });
    r.router.table.register(`tcp:${port}`, app);
    r.router.table.register(`tcp:${plain}`, app);
    await open(r.router, port);
    await open(r.router, plain);
    const one = await client(port);
    const closed = once(one.socket, "close");
    one.socket.end("x".repeat(300_000));
    await one.until("heard 300000");
    await closed;
    await using passed = await wire(plain);
    passed.socket.end("not TLS at all");
    await passed.until("heard 14");
    await eventually(() => r.connections.length === 2 && r.router.numbers().tcp_open_connections === 0);
    expect(r.connections[0]).toMatchObject({ port, bytesIn: 300_000, bytesOut: 12, serverName: "db.example.com", secure: true, error: undefined, attempts: 1 });
    expect(r.connections[1]).toMatchObject({ port: plain, secure: false });
    expect(r.router.numbers()).toMatchObject({ tcp_connections: 2, tcp_refused_handshakes: 0, tcp_failed_connections: 0 });
  });

  test("certificates are chosen by name, and so are routes", async () => {
    const [db, cache] = [ca?.sign("db.example.com") ?? { cert: "", key: "" }, ca?.sign("cache.example.com") ?? { cert: "", key: "" }];
    await using one = await named("db");
    await using two = await named("cache");
    await using rest = await named("rest");
    const port = await freePort();
    await using r = await tcpRig({}, { tls: { ports: String(port), certificates: [db, cache] } });
    r.router.table.register(`tcp:${port}/db.example.com`, one);
    r.router.table.register(`tcp:${port}/cache.example.com`, two);
    r.router.table.register(`tcp:${port}`, rest);
    await open(r.router, port);
    for (const [servername, route, certificate] of [["db.example.com", "db", "DNS:db.example.com"], ["cache.example.com", "cache", "DNS:cache.example.com"], ["other.example.com", "rest", "DNS:db.example.com"]] as const) {
      const each = await client(port, { servername, rejectUnauthorized: false });
      await each.until(`${route}\n`);
      expect(shown(each.socket)).toBe(certificate);
      const closed = once(each.socket, "close");
      each.socket.end();
      await closed;
    }
  });

  test("a client certificate may be asked for, or demanded; a bad one, none, or no TLS at all ends the connection and is counted", async () => {
    const certificate = ca?.sign("db.example.com") ?? { cert: "", key: "" };
    const good = ca?.issue({ subject: "/CN=a client" }) ?? certificate;
    const stranger = authority("/CN=another authority")?.issue({ subject: "/CN=a stranger" }) ?? certificate;
    await using app = await named("db");
    const [requests, requires] = [await freePort(), await freePort()];
    const common = { certificates: [certificate], clientCa: ca?.ca ?? "", maxVersion: "TLSv1.2" } as const;
    await using r = await tcpRig({}, { tls: [{ ...common, ports: String(requests), clientCertificates: "request" }, { ...common, ports: String(requires), clientCertificates: "require" }] });
    for (const port of [requests, requires]) { r.router.table.register(`tcp:${port}`, app); await open(r.router, port); }
    for (const [port, more, works] of [
      [requests, {}, true], [requests, good, true], [requests, stranger, false], [requires, good, true], [requires, {}, false], [requires, stranger, false],
    ] as const) {
      const heard = await client(port, more).then(async (each) => {
        const ended = once(each.socket, "close");
        await Promise.race([each.until("db\n"), ended]);
        each.socket.end();
        await ended;
        return each.heard();
      }, () => "");
      expect([port === requests ? "request" : "require", heard]).toEqual([port === requests ? "request" : "require", works ? "db\n" : ""]);
    }
    await using raw = await wire(requires, "GET / HTTP/1.1\r\n\r\n");
    expect(await raw.end()).not.toContain("db");
    await eventually(() => r.router.numbers().tcp_refused_handshakes === 4 && r.router.numbers().tcp_open_connections === 0, 10_000, () => JSON.stringify(r.router.numbers()));
    expect(app.connections()).toBe(3);
  });

  test("without certificates of its own a port has those of the router, and changes with them; files are read again; open connections stay", async () => {
    const [first, second] = [ca?.sign("db.example.com") ?? { cert: "", key: "" }, ca?.issue({ names: "DNS:db.example.com,DNS:new.example.com" }) ?? { cert: "", key: "" }];
    const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(certFile, first.cert);
    writeFileSync(keyFile, first.key);
    await using app = await named("db");
    const [shared, own] = [await freePort(), await freePort()];
    await using r = await tcpRig({ tls: { port: 0, certificates: [first] } }, { tls: [{ ports: String(shared) }, { ports: String(own), certificates: [{ certFile, keyFile }], watchMs: 20 }] });
    for (const port of [shared, own]) { r.router.table.register(`tcp:${port}`, app); await open(r.router, port); }
    const [kept, keptOwn] = [await client(shared), await client(own)];
    for (const each of [kept, keptOwn]) expect(shown(each.socket)).toBe("DNS:db.example.com");
    await r.router.reloadTls([second]);
    writeFileSync(keyFile, second.key);
    writeFileSync(certFile, second.cert);
    const now = async (port: number): Promise<string> => {
      const each = await client(port);
      const names = shown(each.socket);
      each.socket.destroy();
      return names;
    };
    expect(await now(shared)).toBe("DNS:db.example.com, DNS:new.example.com");
    await eventually(async () => await now(own) === "DNS:db.example.com, DNS:new.example.com", 15_000);
    for (const each of [kept, keptOwn]) {
      each.socket.write("still here");
      await each.until("still here");
      each.socket.end();
    }
    await expect(r.router.reloadTls([{ cert: "x", key: "y" }])).rejects.toMatchObject({ code: "ROUTER_BAD_CERTIFICATE" });
    expect(await now(shared)).toBe("DNS:db.example.com, DNS:new.example.com");
  });

  test("a drain lets them finish; too many are turned away before their handshake", async () => {
    const certificate = ca?.sign("db.example.com") ?? { cert: "", key: "" };
    await using app = await named("db");
    const port = await freePort();
    await using r = await tcpRig({}, { maxConnections: 1, tls: { ports: String(port), certificates: [certificate] } });
    r.router.table.register(`tcp:${port}`, app);
    await open(r.router, port);
    const one = await client(port);
    await one.until("db\n");
    await expect(client(port)).rejects.toThrow();
    await eventually(() => r.router.numbers().tcp_refused_connections === 1);
    const draining = r.router.drain({ timeoutMs: 20_000 });
    one.socket.write("late");
    await one.until("late");
    one.socket.end();
    await draining;
    expect(r.connections.map(({ error }) => error)).toEqual([undefined]);
  });
});

test("options that make no sense are refused when the router is made, certificates when it starts", async () => {
  for (const tls of [{ ports: "1-3" }, { ports: "5", certificates: [{ cert: "", key: "" }] }, { ports: "x", certificates: [{ cert: "", key: "" }] }, { certificates: [] }, [{ ports: "1", certificates: [{ cert: "", key: "" }] }, { certificates: [{ cert: "", key: "" }] }]]) {
    expect(() => createRouter({ tcp: { ports: "1-3", tls } }), JSON.stringify(tls)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
  }
  const router = createRouter({ port: 0, tcp: { ports: "1-3", tls: { certificates: [{ cert: "no", key: "no" }] } } });
  await expect(router.listen()).rejects.toMatchObject({ code: "ROUTER_BAD_CERTIFICATE" });
});
