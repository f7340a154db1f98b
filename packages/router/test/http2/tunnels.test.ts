import { once } from "node:events";
import { constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { IncomingMessage } from "node:http";
import { describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { echo, httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { session } from "../fixtures/http2.ts";
import { rig } from "../fixtures/rig.ts";

/** One masked frame of a client (RFC 6455, 5.2). */
function clientFrame(opcode: number, payload: Buffer): Buffer {
  const head = payload.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | payload.length]) : Buffer.from([0x80 | opcode, 0x80 | 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, Buffer.from([1, 2, 3, 4]), Buffer.from(payload.map((byte, at) => byte ^ ((at % 4) + 1)))]);
}

function open(client: ClientHttp2Session, headers: object = {}): ClientHttp2Stream {
  const stream = client.request({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/chat?x=1", ":authority": "app.example.com", "sec-websocket-version": "13", ...headers });
  stream.on("error", () => undefined);
  // As clients do: the other side's end is theirs.
  stream.on("end", () => stream.end());
  return stream;
}

async function chatty() {
  const app = await httpBackend(echo);
  const sockets = new WebSocketServer({ server: app.server });
  const upgrades: IncomingMessage[] = [];
  const closed: number[] = [];
  sockets.on("connection", (socket, request) => {
    upgrades.push(request);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("close", (code) => closed.push(code));
    socket.on("error", () => undefined);
  });
  return { ...app, upgrades, closed };
}

describe("WebSocket over HTTP/2 (RFC 8441)", () => {
  test("is announced, opened with 200, and carries data both ways, several beside each other and beside requests", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, app: "guid" });
    await using client = await session(r.port);
    expect(client.remoteSettings.enableConnectProtocol).toBe(true);
    const streams = Array.from({ length: 5 }, () => open(client, { "sec-websocket-protocol": "chat", origin: "http://x" }));
    for (const stream of streams) {
      const [head] = await once(stream, "response") as [Record<string, string>];
      expect(head).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
      for (const name of ["sec-websocket-accept", "connection", "upgrade", "transfer-encoding"]) expect(head).not.toHaveProperty(name);
    }
    for (const [n, stream] of streams.entries()) {
      const text = Buffer.from(`hello ${n} ${"x".repeat(n * 100)}`);
      stream.write(clientFrame(1, text));
      let heard = Buffer.alloc(0);
      stream.on("data", (chunk: Buffer) => { heard = Buffer.concat([heard, chunk]); });
      await eventually(() => heard.length >= text.length + 2);
      expect(heard.subarray(-text.length).equals(text)).toBe(true);
    }
    expect(app.upgrades[0]?.url).toBe("/chat?x=1");
    expect(app.upgrades[0]?.headers).toMatchObject({ host: "app.example.com", upgrade: "websocket", "sec-websocket-version": "13", origin: "http://x", "x-cf-applicationid": "guid", "x-forwarded-for": "127.0.0.1" });
    streams[0]?.write(clientFrame(8, Buffer.from([0x0f, 0xa1])));
    await eventually(() => app.closed.includes(4001) && r.records.length === 1);
    await eventually(() => streams[0]?.destroyed === true);
    expect(r.records[0]).toMatchObject({ status: 101, upgraded: true, httpVersion: "2.0" });
    expect(r.router.inFlight).toBe(4);
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => r.records.length === 5 && r.router.inFlight === 0);
    expect(r.router.numbers().websocket_upgrades).toBe(5);
  });

  test("13.67: refused by the app: its answer with its body", async () => {
    await using app = await httpBackend((_, response) => { response.writeHead(403, { "x-why": "no" }); response.end("not you"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const stream = open(client);
    const [head] = await once(stream, "response") as [Record<string, string>];
    let body = "";
    stream.on("data", (chunk: Buffer) => { body += chunk.toString(); });
    await once(stream, "end");
    expect([head[":status"], head["x-why"], body]).toEqual([403, "no", "not you"]);
  });

  test("13.67: nobody there: 502; unknown host: 404", async () => {
    await using gone = await misbehaving.refuses();
    await using r = await rig();
    r.serve([gone]);
    await using client = await session(r.port);
    for (const [authority, status] of [["app.example.com", 502], ["nowhere.example.com", 404]] as const) {
      const stream = open(client, { ":authority": authority });
      const [head] = await once(stream, "response") as [Record<string, string>];
      expect(head[":status"]).toBe(status);
      stream.resume();
    }
  });

  test("either side's end is the other's", async () => {
    let ended = 0;
    await using app = await rawBackend((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly"));
      socket.on("close", () => { ended += 1; });
      socket.on("data", (chunk: Buffer) => { if (chunk.includes("go")) socket.end("bye"); });
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const polite = open(client);
    let heard = "";
    polite.on("data", (chunk: Buffer) => { heard += chunk.toString(); });
    await eventually(() => heard === "early");
    polite.write("go");
    await once(polite, "close");
    expect([heard, polite.rstCode]).toEqual(["earlybye", 0]);
    const rude = open(client);
    await once(rude, "response");
    rude.close(constants.NGHTTP2_CANCEL);
    await eventually(() => ended === 2 && r.records.length === 2);
  });

  test("13.102: a drain cuts tunnels when the last request is answered", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const stream = open(client);
    await once(stream, "response");
    await r.router.drain({ timeoutMs: 1_000 });
    await eventually(() => stream.destroyed && app.open() === 0);
  });
});

describe("CONNECT", () => {
  /** An app that agrees, and gives back what it hears. */
  const agreeing = async (status = 200) => {
    const app = await httpBackend(echo);
    const asked: IncomingMessage[] = [];
    app.server.on("connect", (request, socket) => {
      asked.push(request);
      socket.on("error", () => undefined);
      if (status !== 200) { socket.end(`HTTP/1.1 ${status} No\r\nX-Why: no\r\nContent-Length: 3\r\n\r\nno\n`); return; }
      socket.write("HTTP/1.1 200 Fine\r\nX-App: yes\r\nContent-Length: 7\r\n\r\n");
      socket.pipe(socket);
    });
    return { ...app, asked };
  };

  test("is off unless the route says otherwise: 405", async () => {
    await using app = await agreeing();
    await using r = await rig();
    r.serve([app]);
    for (const target of ["app.example.com:443", "nowhere.example.com:443"]) {
      await using client = await wire(r.port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      expect(await client.end()).toMatch(/^HTTP\/1\.1 405 [^]*X-Cf-RouterError: method_not_allowed/);
    }
    expect(app.asked).toEqual([]);
  });

  test("opens a tunnel where the route allows it, and the app agrees", async () => {
    await using app = await agreeing();
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port }, { connect: true });
    await using client = await wire(r.port, "CONNECT app.example.com:443 HTTP/1.1\r\nHost: app.example.com:443\r\n\r\nearly");
    const heard = await client.until("early");
    expect(heard).toMatch(/^HTTP\/1\.1 200 Fine\r\n[^]*X-App: yes\r\n[^]*\r\n\r\nearly$/);
    expect(heard).not.toMatch(/content-length|connection:|upgrade/i);
    client.send("more");
    await client.until("earlymore");
    expect([app.asked[0]?.url, app.asked[0]?.headers["x-forwarded-for"], app.asked[0]?.headers.upgrade]).toEqual(["app.example.com:443", "127.0.0.1", undefined]);
    client.socket.destroy();
    await eventually(() => r.records.length === 1 && app.open() === 0);
    expect(r.records[0]).toMatchObject({ method: "CONNECT", status: 200, route: "app.example.com" });
  });

  test("refused by the app: its status and headers, and the connection is closed", async () => {
    await using app = await agreeing(407);
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port }, { connect: true });
    await using client = await wire(r.port, "CONNECT app.example.com:443 HTTP/1.1\r\nHost: app.example.com:443\r\n\r\nGET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.1 407 No\r\n[^]*X-Why: no\r\n/);
    expect(app.requests).toEqual([]);
  });

  test("over HTTP/2 as well", async () => {
    await using app = await agreeing();
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port }, { connect: true });
    await using client = await session(r.port);
    const stream = client.request({ ":method": "CONNECT", ":authority": "app.example.com:443" });
    const [head] = await once(stream, "response") as [Record<string, string>];
    expect([head[":status"], head["x-app"]]).toEqual([200, "yes"]);
    stream.write("hello");
    expect(String((await once(stream, "data"))[0])).toBe("hello");
    stream.close();
    await eventually(() => r.records.length === 1);
    const other = client.request({ ":method": "CONNECT", ":authority": "nowhere.example.com:443" });
    expect((await once(other, "response") as [Record<string, string>])[0][":status"]).toBe(405);
  });
});
