import { once } from "node:events";
import type { ServerHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { http2Backend, session, type Http2Backend } from "../fixtures/http2.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const serve = (r: Rig, { host, port }: { host: string; port: number }, uri = "app.example.com"): void => void r.router.table.register(uri, { host, port, protocol: "http2", app: "guid" });
const handshake = "GET /chat?x=1 HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
/** The answer that RFC 6455, 1.3, has for that key. */
const accepted = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

interface App extends Http2Backend { readonly heads: IncomingHttpHeaders[]; readonly codes: number[] }

/** An app with HTTP/2 only: bytes that come through a tunnel go back, requests are answered. */
async function app({ tunnels = true, open = (stream: ServerHttp2Stream): void => { stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" }); stream.pipe(stream); } } = {}): Promise<App> {
  const heads: IncomingHttpHeaders[] = [];
  const codes: number[] = [];
  const base = await http2Backend((stream, headers) => {
    heads.push(headers);
    stream.on("close", () => codes.push(stream.rstCode));
    if (headers[":method"] === "CONNECT") return open(stream);
    stream.respond({ ":status": 200 });
    stream.end("request");
  }, { settings: { enableConnectProtocol: tunnels } });
  return { ...base, heads, codes };
}

describe("WebSockets to endpoints that speak HTTP/2 only (RFC 8441)", () => {
  test("13.66: a client of HTTP/1.1 gets its 101, the endpoint an extended CONNECT; data both ways, beside requests on one connection", async () => {
    await using two = await app();
    await using r = await rig();
    serve(r, two);
    await using request = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    expect(await request.end()).toContain("request");
    await using client = await wire(r.port, handshake);
    const head = await client.until("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    for (const line of [`Sec-WebSocket-Accept: ${accepted}`, "sec-websocket-protocol: chat", "Upgrade: websocket", "Connection: Upgrade"]) expect(head.toLowerCase()).toContain(line.toLowerCase());
    client.send("frames");
    await client.until("frames");
    expect(two.heads[1]).toMatchObject({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat?x=1", ":authority": "app.example.com", ":scheme": "http", "sec-websocket-version": "13", "x-cf-applicationid": "guid" });
    for (const name of ["sec-websocket-key", "upgrade", "connection", "host"]) expect(two.heads[1]).not.toHaveProperty(name);
    client.socket.end();
    await client.end();
    await eventually(() => two.codes.length === 2 && r.records.length === 2);
    expect([two.connections(), two.codes, r.records.at(-1)?.status]).toEqual([1, [0, 0], 101]);
    expect(r.records.at(-1)).toMatchObject({ bytesIn: 6, bytesOut: 6 });
  });

  test("a client of HTTP/2 as well, and 13.85: who breaks off ends the other side", async () => {
    await using two = await app();
    await using r = await rig();
    serve(r, two);
    await using client = await session(r.port);
    const stream = client.request({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/", ":authority": "app.example.com", "sec-websocket-version": "13" });
    stream.on("error", () => undefined);
    const [head] = await once(stream, "response") as [Record<string, unknown>];
    expect(head).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
    expect(head).not.toHaveProperty("sec-websocket-accept");
    stream.write("frames");
    expect(String((await once(stream, "data") as [Buffer])[0])).toBe("frames");
    stream.close(8);
    await eventually(() => two.codes.length === 1);
  });

  test("a real WebSocket client, with large messages", async () => {
    const frames = new WebSocketServer({ noServer: true });
    await using two = await app({ open(stream) {
      stream.respond({ ":status": 200 });
      // What ws does behind its own handshake.
      const socket = new WebSocket(null as never, undefined as never, {});
      Object.assign(stream, { setNoDelay: () => undefined });
      (socket as unknown as { setSocket(socket: unknown, head: Buffer, options: object): void }).setSocket(stream, Buffer.alloc(0), { maxPayload: 10_000_000, allowSynchronousEvents: true, skipUTF8Validation: false });
      (socket as unknown as { _isServer: boolean })._isServer = true;
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    } });
    await using r = await rig();
    serve(r, two);
    const client = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" }, perMessageDeflate: false });
    await once(client, "open");
    const payload = Buffer.alloc(1_000_000, 7);
    client.send(payload);
    const [data] = await once(client, "message") as [Buffer];
    expect(data.equals(payload)).toBe(true);
    client.close(4_000, "bye");
    const [code] = await once(client, "close") as [number];
    expect(code).toBe(4_000);
    frames.close();
  });

  test("13.67: what the app answers instead is an ordinary answer, and the connection of the client serves on", async () => {
    await using two = await app({ open: (stream) => { stream.respond({ ":status": 403, "content-length": 2, "x-why": "no" }); stream.end("no"); } });
    await using r = await rig();
    serve(r, two);
    await using client = await wire(r.port, handshake);
    expect(await client.until("\r\n\r\nno")).toMatch(/^HTTP\/1\.1 403 [^]*x-why: no/i);
    client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("request");
    await eventually(() => r.records.length === 2);
    expect(r.records.map(({ status }) => status)).toEqual([403, 200]);
  });

  test("without extended CONNECT, and without HTTP/1.1: 502 that says so, and the endpoint serves on, unmarked", async () => {
    await using two = await app({ tunnels: false });
    await using r = await rig();
    serve(r, two);
    for (let n = 0; n < 2; n += 1) {
      await using client = await wire(r.port, handshake);
      expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502 [^]*x-cf-routererror: endpoint_failure \(no websockets\)/i);
      await using request = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
      expect(await request.end()).toContain("request");
    }
    expect(r.router.table.snapshot()[0]?.endpoints.length).toBe(1);
  });

  test("another endpoint of the route that can is tried", async () => {
    await using cannot = await app({ tunnels: false });
    await using can = await app();
    await using r = await rig();
    serve(r, cannot);
    serve(r, can);
    for (let n = 0; n < 4; n += 1) {
      await using client = await wire(r.port, handshake);
      expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 101 /);
    }
  });

  test("13.84: one that does not answer is not waited for beyond its time, nor one that the client has left", async () => {
    await using two = await app({ open: () => undefined });
    await using r = await rig({ endpointTimeoutMs: 200 });
    serve(r, two);
    await using client = await wire(r.port, handshake);
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502 [^]*timeout/);
    await eventually(() => two.codes.length === 1);
    await using r2 = await rig();
    serve(r2, two);
    await using leaving = await wire(r2.port, handshake);
    await eventually(() => two.heads.length === 2);
    leaving.socket.destroy();
    await eventually(() => two.codes.length === 2 && r2.records.length === 1);
    expect([two.codes, r2.records[0]?.status]).toEqual([[8, 8], 499]);
  });

  test("one that is said to speak HTTP/2, and does not, gets its handshake in HTTP/1.1", async () => {
    await using one = await httpBackend(echo);
    const sockets = new WebSocketServer({ server: one.server });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await using r = await rig();
    serve(r, one);
    const client = new WebSocket(`ws://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" } });
    await once(client, "open");
    client.send("hello");
    expect(String((await once(client, "message") as [Buffer])[0])).toBe("hello");
    client.terminate();
  });

  test("a drain says goodbye there, too", async () => {
    await using two = await app();
    await using r = await rig();
    serve(r, two);
    await using client = await wire(r.port, handshake);
    await client.until("\r\n\r\n");
    await r.router.drain();
    expect(Buffer.from(client.heard(), "latin1").subarray(-4).toString("hex")).toBe("880203e9");
  });
});
