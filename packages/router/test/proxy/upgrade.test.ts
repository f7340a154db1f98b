import { Agent } from "node:http";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { echo, httpBackend, misbehaving, rawBackend, type HttpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

/** An app that answers HTTP with `echo` and talks back over WebSocket. */
async function chatty(): Promise<HttpBackend & { sockets: WebSocketServer }> {
  const app = await httpBackend(echo);
  const sockets = new WebSocketServer({ server: app.server });
  sockets.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  return { ...app, sockets };
}

async function open(port: number, path = "/", options: object = {}): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { host: "app.example.com" }, ...options });
  await once(socket, "open");
  return socket;
}

const handshake = (extra = "Connection: Upgrade\r\nUpgrade: websocket\r\n"): string =>
  `GET /chat HTTP/1.1\r\nHost: app.example.com\r\n${extra}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

describe("WebSocket", () => {
  test("13.66 messages both ways, small, large and binary", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.serve([app]);
    const socket = await open(r.port);
    for (const message of ["hello", "x".repeat(1_000_000), Buffer.alloc(200_000, 7)]) {
      socket.send(message);
      const [data, isBinary] = await once(socket, "message") as [Buffer, boolean];
      expect(isBinary).toBe(Buffer.isBuffer(message));
      expect(data.equals(Buffer.from(message))).toBe(true);
    }
    socket.close(4001, "bye");
    const [code, reason] = await once(socket, "close") as [number, Buffer];
    expect([code, reason.toString()]).toEqual([4001, "bye"]);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 101, upgraded: true, route: "app.example.com" });
    expect(r.records[0]?.bytesOut).toBeGreaterThan(1_200_000);
    expect(r.router.numbers().websocket_upgrades).toBe(1);
  });

  for (const [what, headers] of [
    ["mixed case", "cOnNeCtIoN: uPgRaDe\r\nuPgRaDe: WebSocket\r\n"], ["a list", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"],
    ["a repeated header", "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"],
  ] as const) {
    test(`13.66 is recognised with ${what}`, async () => {
      await using app = await chatty();
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port, handshake(headers));
      const heard = await client.until("\r\n\r\n");
      expect(heard).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
      expect(heard).toContain("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
      expect(heard.toLowerCase()).toContain("upgrade: websocket");
      expect(heard.toLowerCase()).toContain("connection: upgrade");
    });
  }

  test("the app sees the headers of any other request", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, app: "guid", instanceId: "i" });
    let headers: object = {};
    app.sockets.on("connection", (_, request) => { headers = request.headers; });
    const socket = await open(r.port, "/chat?x=1");
    await eventually(() => Object.keys(headers).length > 0);
    expect(headers).toMatchObject({ host: "app.example.com", "x-cf-applicationid": "guid", "x-cf-instanceid": "i", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-vcap-request-id": expect.any(String) });
    socket.terminate();
  });

  test("bytes sent along with either half of the handshake are not lost", async () => {
    await using app = await rawBackend((socket) => socket.once("data", (head: Buffer) => {
      const early = head.toString("latin1").split("\r\n\r\n")[1] ?? "";
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nfirst<${early}>`);
      socket.on("data", (more: Buffer) => socket.write(`<${more.toString("latin1")}>`));
    }));
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, `${handshake("Connection: Upgrade\r\nUpgrade: thing\r\n")}early`);
    await client.until("<early>");
    expect(client.heard()).toContain("\r\n\r\nfirst<");
    client.send("later");
    await client.until("<later>");
  });

  test("13.68 outlives the endpoint timeout; 101 and its whole time are in the log when it closes, not before", async () => {
    const lines: string[] = [];
    await using app = await chatty();
    await using r = await rig({ endpointTimeoutMs: 100, clientIdleMs: 100, accessLog: { write: (line) => lines.push(line) } });
    r.serve([app]);
    const socket = await open(r.port);
    await new Promise((resolve) => setTimeout(resolve, 400));
    socket.send("still there?");
    const [data] = await once(socket, "message") as [Buffer];
    expect(data.toString()).toBe("still there?");
    expect([r.records, lines]).toEqual([[], []]);
    socket.close();
    await eventually(() => lines.length === 1);
    expect(r.records[0]?.timings.totalMs).toBeGreaterThan(390);
    expect(lines[0]).toMatch(/"GET \/ HTTP\/1\.1" 101 \d+ \d+ .* "127\.0\.0\.1:\d+" "127\.0\.0\.1:\d+" .* x_cf_routererror:"-"/);
    expect(Number(/response_time:([\d.]+)/.exec(lines[0] as string)?.[1])).toBeGreaterThan(0.39);
  });

  test("counts as under way as long as it is open", async () => {
    await using app = await chatty();
    await using r = await rig({ maxConnectionsPerEndpoint: 1 });
    r.serve([app]);
    const socket = await open(r.port);
    const refused = await ask(r.port);
    expect([refused.status, refused.headers["x-cf-routererror"], refused.headers["cache-control"]]).toEqual([503, "Connection Limit Reached", undefined]);
    socket.terminate();
    await eventually(async () => (await ask(r.port)).status === 200);
  });

  test("goes to another endpoint when the first does not answer", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await chatty();
    await using r = await rig();
    r.serve([dead, app]);
    for (let n = 0; n < 4; n += 1) (await open(r.port)).terminate();
  });

  test("13.67 no endpoint answers: 502, and the client's connection goes on as an ordinary one", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([dead]);
    r.serve([app], "other.example.com");
    await using client = await wire(r.port, handshake());
    await client.until("502 Bad Gateway: Registered endpoint failed to handle the request.\n");
    client.send("GET /next HTTP/1.1\r\nHost: other.example.com\r\n\r\n");
    await client.until("\"url\":\"/next\"");
    await eventually(() => r.records.length === 2);
    expect(r.records.map(({ status }) => status)).toEqual([502, 200]);
    expect(r.router.numbers()).toMatchObject({ websocket_failures: 1, websocket_upgrades: 0 });
  });

  test("13.67 an app that refuses: its answer, body and all, and the connection goes on", async () => {
    await using app = await httpBackend(echo);
    app.server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: no\r\n\r\nnope"));
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, handshake());
    expect(await client.until("nope")).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*X-Why: no/);
    client.send("GET /next HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("\"url\":\"/next\"");
    await eventually(() => r.records.length === 2);
    expect(r.records[0]).toMatchObject({ status: 403, upgraded: false });
  });

  test("13.67 an app that does not know of upgrades answers as to any request", async () => {
    await using app = await httpBackend((_, response) => { response.write("plain"); response.end(" text"); });
    await using r = await rig();
    r.serve([app]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const answer = await ask(r.port, { agent, headers: { connection: "Upgrade", upgrade: "websocket" } });
    expect([answer.status, answer.body]).toEqual([200, "plain text"]);
    agent.destroy();
  });

  test("an unknown route is 404 here too", async () => {
    await using r = await rig();
    await using client = await wire(r.port, handshake());
    expect(await client.until("does not exist")).toMatch(/^HTTP\/1\.1 404/);
  });

  test("an app that does not answer in time: 502", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig({ endpointTimeoutMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, handshake());
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502[\s\S]*endpoint_failure \(timeout\)/);
    await eventually(() => app.open() === 0);
  });
});

describe("ends of a tunnel", () => {
  test("a client that vanishes takes the app's connection with it", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.serve([app]);
    const socket = await open(r.port);
    socket.terminate();
    await eventually(() => app.sockets.clients.size === 0 && app.open() === 0);
    await eventually(() => r.router.inFlight === 0);
  });

  test("an app that vanishes takes the client's connection with it", async () => {
    await using app = await chatty();
    await using r = await rig();
    r.serve([app]);
    const socket = await open(r.port);
    for (const held of app.sockets.clients) held.terminate();
    const [code] = await once(socket, "close") as [number];
    expect(code).toBe(1006);
  });

  test("a client that leaves before the app has answered", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, handshake());
    await eventually(() => app.heard() > 0);
    client.socket.destroy();
    await eventually(() => app.open() === 0);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.status).toBe(499);
  });

  test("what is on its way when one side ends still arrives", async () => {
    const size = 8_000_000;
    await using app = await rawBackend((socket) => socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n");
      socket.end(Buffer.alloc(size, 0x78));
    }));
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, handshake("Connection: Upgrade\r\nUpgrade: thing\r\n"));
    const heard = await client.end(10_000);
    expect(heard.length - heard.indexOf("\r\n\r\n") - 4).toBe(size);
  });

  test("a slow reader of a tunnel slows the writer down", async () => {
    let written = 0;
    await using app = await rawBackend((socket) => socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n");
      const block = Buffer.alloc(65_536);
      const fill = (): void => {
        while (written < 200_000_000) {
          written += block.length;
          if (!socket.write(block)) return void socket.once("drain", fill);
        }
      };
      fill();
    }));
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, handshake("Connection: Upgrade\r\nUpgrade: thing\r\n"));
    await client.until("101");
    client.socket.pause();
    await eventually(async () => {
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 150));
      return written === before;
    }, 10_000);
    expect(written).toBeLessThan(40_000_000);
  });
});

describe("upgrades that are ignored", () => {
  test("h2c, which curl asks for by itself", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET /x HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n");
    const heard = await client.until("\"url\":\"/x\"");
    expect(heard).toMatch(/^HTTP\/1\.1 200/);
    expect(app.requests[0]?.headers["http2-settings"]).toBeUndefined();
    client.send("GET /y HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("\"url\":\"/y\"");
  });

  test("with a body, which would run into the tunnel", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "POST /x HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 10\r\n\r\nhello");
    setTimeout(() => client.send("world"), 20);
    await client.until("\"body\":\"helloworld\"");
  });
});
