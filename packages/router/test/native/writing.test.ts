import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { describe, expect, test } from "vitest";
import { writeDirect, type Writer } from "../../src/native/write-direct.ts";
import { authority } from "../fixtures/certificates.ts";
import { rig } from "../fixtures/rig.ts";
import { eventually } from "../fixtures/client.ts";

// What is small is written past the stream: it must arrive whole, in its place, and whoever writes must hear what became of it.

const ca = authority();
const more = 8_000_000;

/** Both ends of a connection; `near` is the one that is written to. */
async function pair(secure: boolean): Promise<AsyncDisposable & { near: Socket; far: Socket }> {
  const server: Server = secure ? createTlsServer(ca?.sign("localhost") ?? {}) : createTcpServer();
  const accepted = new Promise<Socket>((resolve) => server.once(secure ? "secureConnection" : "connection", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const far = secure ? connectTls({ port, rejectUnauthorized: false }) : connect(port);
  const near = await accepted;
  for (const end of [near, far]) end.on("error", () => undefined);
  return { near, far, async [Symbol.asyncDispose]() { near.destroy(); far.destroy(); await new Promise((resolve) => server.close(resolve)); } };
}

function writer(): Writer & { told: string[] } {
  const told: string[] = [];
  return { told, onWritten: () => void told.push("written"), onLate: () => void told.push("late") };
}

describe("a plain connection", () => {
  test("is written to at once, and its writer hears of it", async () => {
    await using both = await pair(false);
    let heard = "";
    both.far.on("data", (piece: Buffer) => { heard += piece.toString("latin1"); });
    const one = writer();
    // Where this fails on a new version of Node, writing has become dear again, and nothing else: see docs/decisions/0025.
    expect(writeDirect(both.near, Buffer.from("one "), one)).toBe(true);
    await eventually(() => one.told.at(-1) === "written");
    expect(writeDirect(both.near, Buffer.from("t\u00e9xt ", "latin1"), undefined)).toBe(true);
    both.near.write("and as a stream");
    await eventually(() => heard === "one t\u00e9xt and as a stream");
    expect(one.told).toEqual(["written"]);
  });

  test("keeps its order behind what waits, and tells when it is gone", async () => {
    await using both = await pair(false);
    const bytes = randomBytes(more);
    const one = writer();
    expect(writeDirect(both.near, bytes, one)).toBe(true);
    // The other side does not read yet.
    expect(one.told).toEqual(["late"]);
    const behind = randomBytes(100_000);
    both.near.write(behind);
    const two = writer();
    // The stream has something to write: what comes now is its business.
    if (both.near.writableLength > 0) expect(writeDirect(both.near, Buffer.from("x"), two)).toBe(false);
    const pieces: Buffer[] = [];
    both.far.on("data", (piece: Buffer) => pieces.push(piece));
    await eventually(() => pieces.reduce((sum, { length }) => sum + length, 0) === more + behind.length, 20_000);
    expect(Buffer.concat(pieces).equals(Buffer.concat([bytes, behind]))).toBe(true);
    expect(one.told.at(-1)).toBe("written");
    expect(two.told).toEqual([]);
  });

  test("that ends while something waits tells nobody that it was written", async () => {
    await using both = await pair(false);
    both.far.pause();
    const one = writer();
    writeDirect(both.near, randomBytes(more), one);
    const closed = new Promise((resolve) => both.near.once("close", resolve));
    both.near.destroy();
    await closed;
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.told).not.toContain("written");
    expect(writeDirect(both.near, Buffer.from("x"), one)).toBe(false);
  });
});

test("a connection with TLS is left to its stream, which alone knows when the next write may come", async () => {
  await using both = await pair(true);
  expect(writeDirect(both.near, Buffer.from("x"), writer())).toBe(false);
});

test("a connection that the other side has reset is destroyed, with the system's code", async () => {
  await using both = await pair(false);
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => both.near.once("error", resolve));
  both.near.pause();
  const one = writer();
  writeDirect(both.near, randomBytes(more), one);
  both.far.resetAndDestroy();
  expect(["ECONNRESET", "EPIPE"]).toContain((await failed).code);
  expect(both.near.destroyed).toBe(true);
  expect(one.told).not.toContain("written");
});

test.each([["over a plain connection", false], ["over TLS", true]])("a client that asks and asks %s and reads nothing is cut when its time is over", { timeout: 30_000 }, async (_, secure) => {
  const body = randomBytes(12_000);
  const app = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  const pair = ca?.sign("app.example.com");
  await using r = await rig({ engine: "native", clientStallMs: 200, ...(secure && pair !== undefined ? { tls: { port: 0, certificates: [{ cert: pair.cert, key: pair.key }] } } : {}) });
  r.serve([{ host: "127.0.0.1", port: (app.address() as AddressInfo).port }]);
  const client = secure ? connectTls({ port: r.router.tlsAddress?.port as number, host: "127.0.0.1", servername: "app.example.com", rejectUnauthorized: false }) : connect(r.port, "127.0.0.1");
  client.pause();
  let over = false;
  client.on("error", () => undefined).on("close", () => { over = true; });
  const ask = setInterval(() => { if (!client.destroyed) client.write("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n".repeat(20)); }, 5);
  try {
    await eventually(() => r.router.inFlight === 0 && r.records.length > 0 && over, 20_000);
  } finally {
    clearInterval(ask);
    client.destroy();
    app.closeAllConnections();
    app.close();
  }
});

test("a client that takes an answer's last bytes slowly gets them all, though it takes longer than a client may be still", { timeout: 60_000 }, async () => {
  const body = randomBytes(12_000);
  const app = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  await using r = await rig({ engine: "native", clientStallMs: 400 });
  r.serve([{ host: "127.0.0.1", port: (app.address() as AddressInfo).port }]);
  const client = connect(r.port, "127.0.0.1");
  const count = 800;
  let heard = 0;
  client.on("error", () => undefined);
  client.on("data", (piece: Buffer) => {
    heard += piece.length;
    client.pause();
    setTimeout(() => client.resume(), 15);
  });
  client.write("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n".repeat(count));
  try {
    await eventually(() => r.records.length === count, 40_000);
    expect(client.destroyed).toBe(false);
    await eventually(() => heard > count * body.length, 20_000);
  } finally {
    client.destroy();
    app.closeAllConnections();
    app.close();
  }
});
