import { connect as connectTcp } from "node:net";
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { describe, expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";
import type { Echoed } from "../fixtures/backend.ts";
import type { RouterOptions } from "../../src/index.ts";

const own = authority();
const request = "GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n";
const line = "PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r\n";
const binary = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000201c6336401c82201bb", "hex");
const local = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
const echoedIn = (heard: string): Echoed => JSON.parse(heard.slice(heard.indexOf("{"), heard.lastIndexOf("}") + 1)) as Echoed;

async function behind(options: RouterOptions) {
  const app = await httpBackend(echo);
  const r = await rig(options);
  r.serve([app]);
  return { app, r, port: r.port, async [Symbol.asyncDispose]() { await r[Symbol.asyncDispose](); await app[Symbol.asyncDispose](); } };
}

describe("PROXY protocol", () => {
  for (const mode of ["optional", "required"] as const) {
    for (const [what, header] of [["version 1", Buffer.from(line)], ["version 2", binary]] as const) {
      test(`13.99: ${mode}: ${what} names the client, in X-Forwarded-For and in the record`, async () => {
        await using b = await behind({ proxyProtocol: mode });
        await using client = await wire(b.port);
        client.send(Buffer.concat([header, Buffer.from(request)]));
        expect(echoedIn(await client.end()).headers["x-forwarded-for"]).toBe("203.0.113.9, 192.0.2.1");
        await eventually(() => b.r.records.length === 1);
        expect(b.r.records[0]?.peer).toBe("192.0.2.1:51234");
      });
    }

    test(`${mode}: a balancer that speaks for itself is the client`, async () => {
      await using b = await behind({ proxyProtocol: mode });
      await using client = await wire(b.port);
      client.send(Buffer.concat([local, Buffer.from(request)]));
      expect(echoedIn(await client.end()).headers["x-forwarded-for"]).toBe("203.0.113.9, 127.0.0.1");
    });

    test(`${mode}: a wrong header ends the connection without an answer`, async () => {
      await using b = await behind({ proxyProtocol: mode });
      await using client = await wire(b.port, `PROXY TCP4 192.0.2.1 nobody 1 2\r\n${request}`);
      expect(await client.end()).toBe("");
      expect([b.app.requests.length, b.r.router.numbers().refused_proxy_headers]).toEqual([0, 1]);
    });
  }

  test("byte by byte, and on the same connection twice", async () => {
    await using b = await behind({ proxyProtocol: "required" });
    await using client = await wire(b.port);
    client.socket.setNoDelay(true);
    for (const byte of binary) {
      client.send(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.send(request.replace("Connection: close\r\n", ""));
    await client.until('"body":""}');
    client.send(request);
    expect((await client.end()).match(/203\.0\.113\.9, 192\.0\.2\.1/g)?.length).toBeGreaterThanOrEqual(2);
  });

  test("optional: without a header the peer is the client, also where it begins like one", async () => {
    await using b = await behind({ proxyProtocol: "optional" });
    for (const text of [request, request.replace("GET", "PUT").replace("Connection", "Content-Length: 0\r\nConnection")]) {
      await using client = await wire(b.port, text);
      expect(echoedIn(await client.end()).headers["x-forwarded-for"]).toBe("203.0.113.9, 127.0.0.1");
    }
  });

  test("optional: who says nothing for a while is an ordinary client", async () => {
    const clock = manualClock();
    await using b = await behind({ proxyProtocol: "optional", proxyHeaderTimeoutMs: 100, clock });
    await using client = await wire(b.port);
    await eventually(async () => { clock.advance(200); client.send(""); return b.r.router.state === "healthy"; });
    client.send(request);
    expect(echoedIn(await client.end()).headers["x-forwarded-for"]).toBe("203.0.113.9, 127.0.0.1");
  });

  for (const [what, sent] of [["nothing", ""], ["half a header", line.slice(0, 20)]] as const) {
    test(`required: ${what} in its time ends the connection`, async () => {
      await using b = await behind({ proxyProtocol: "required", proxyHeaderTimeoutMs: 50 });
      await using client = await wire(b.port, sent);
      expect(await client.end()).toBe("");
      expect(b.r.router.numbers().refused_proxy_headers).toBe(1);
    });
  }

  test("required: a request without a header is not heard", async () => {
    await using b = await behind({ proxyProtocol: "required" });
    await using client = await wire(b.port, request);
    expect(await client.end()).toBe("");
    expect(b.app.requests).toEqual([]);
  });

  test("off: a header is a malformed request, and nobody can speak for somebody else", async () => {
    await using b = await behind({});
    await using client = await wire(b.port, line + request);
    expect(await client.end()).toMatch(/^HTTP\/1\.1 400 /);
    expect(b.app.requests).toEqual([]);
  });

  for (const [mode, heard] of [["optional", /^HTTP\/1\.1 400 /], ["required", /^$/]] as const) {
    test(`${mode}: a sender that is not trusted cannot speak for a client`, async () => {
      await using b = await behind({ proxyProtocol: mode, trustedProxies: ["10.0.0.0/8"] });
      await using client = await wire(b.port, line + request);
      expect(await client.end()).toMatch(heard);
      expect(b.app.requests).toEqual([]);
    });
  }

  test("a trusted sender; what the client it names says of forwarding is not believed", async () => {
    await using b = await behind({ proxyProtocol: "required", trustedProxies: ["127.0.0.0/8"] });
    await using client = await wire(b.port, line + request);
    expect(echoedIn(await client.end()).headers["x-forwarded-for"]).toBe("192.0.2.1");
  });

  test("a tunnel knows its client too", async () => {
    await using b = await behind({ proxyProtocol: "required" });
    b.app.server.on("upgrade", (upgraded, socket) => socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${String(upgraded.headers["x-forwarded-for"])}`));
    await using client = await wire(b.port, `${line}GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`);
    expect((await client.end()).endsWith("\r\n\r\n192.0.2.1")).toBe(true);
  });

  test.skipIf(own === undefined)("13.99: before TLS, with the handshake in the same packet", async () => {
    const { cert, key } = own?.sign("app.example.com") as Certificate;
    await using b = await behind({ proxyProtocol: "off", tls: { port: 0, certificates: [{ cert, key }], proxyProtocol: "required" } });
    const { port } = b.r.router.tlsAddress as { port: number };
    const raw = connectTcp({ host: "127.0.0.1", port });
    await once(raw, "connect");
    raw.cork();
    raw.write(line);
    const socket = connectTls({ socket: raw, ca: own?.ca ?? "", servername: "app.example.com" });
    process.nextTick(() => raw.uncork());
    await once(socket, "secureConnect");
    let heard = "";
    socket.on("data", (chunk: Buffer) => { heard += chunk.toString("latin1"); });
    socket.write(request);
    await once(socket, "close");
    expect([echoedIn(heard).headers["x-forwarded-for"], echoedIn(heard).headers["x-forwarded-proto"]]).toEqual(["203.0.113.9, 192.0.2.1", "https"]);
  });
});
