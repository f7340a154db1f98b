import { connect, type ClientHttp2Session } from "node:http2";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { authority } from "../fixtures/certificates.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

// An answer is written to an HTTP/2 connection long before a slow client has it: a drain waits for it, within its time.

const ca = authority();
const windowBytes = 50_000_000;

/** A line to the router that stands still until it is told to go on, and is slow then. */
async function slowLine(port: number): Promise<AsyncDisposable & { port: number; hold(): void; go(): void }> {
  let inner: Socket | undefined;
  let slow = false;
  let held = false;
  const sockets = new Set<Socket>();
  const server = createServer((outer) => {
    inner = connectTcp(port, "127.0.0.1");
    const upstream = inner;
    for (const socket of [outer, upstream]) { sockets.add(socket); socket.on("error", () => undefined); }
    outer.pipe(upstream);
    upstream.on("data", (piece: Buffer) => {
      outer.write(piece);
      if (!slow) return;
      upstream.pause();
      setTimeout(() => { if (!held) upstream.resume(); }, 3);
    });
    upstream.on("end", () => outer.end()).on("close", () => outer.destroySoon());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    hold() { slow = held = true; inner?.pause(); },
    go() { held = false; inner?.resume(); },
    async [Symbol.asyncDispose]() { for (const socket of sockets) socket.destroy(); await new Promise((resolve) => server.close(resolve)); },
  };
}

describe.each([["plain", false], ["with TLS", true]])("13.102 HTTP/2, %s", (_, secure) => {
  const options = secure ? { tls: { port: 0, certificates: [ca?.sign("app.example.com") ?? { cert: "", key: "" }] } } : {};

  test.each([8_000_000, 12_000_000])("an answer of %i bytes is heard to its end by a client that is slow when a drain begins", { timeout: 60_000 }, async (size) => {
    await using app = await httpBackend((_request, response) => { response.end(Buffer.alloc(size, 7)); });
    await using r = await rig(options);
    r.serve([app]);
    await using line = await slowLine(secure ? r.router.tlsAddress?.port as number : r.port);
    const client: ClientHttp2Session = connect(`${secure ? "https" : "http"}://127.0.0.1:${line.port}`, { ca: ca?.ca ?? "", servername: "app.example.com", settings: { initialWindowSize: windowBytes } });
    client.on("error", () => undefined).on("connect", () => client.setLocalWindowSize(windowBytes));
    const stream = client.request({ ":authority": "app.example.com" });
    let heard = 0;
    let over = false;
    stream.on("data", (piece: Buffer) => { heard += piece.length; });
    stream.on("error", () => undefined).on("close", () => { over = true; });
    await eventually(() => heard > 100_000);
    line.hold();
    // What the connection takes is handed over, and the client does not have it.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(heard).toBeLessThan(size);
    const drained = r.router.drain({ timeoutMs: 30_000 });
    line.go();
    await drained;
    await eventually(() => over, 10_000);
    expect([heard, stream.rstCode]).toEqual([size, 0]);
    client.destroy();
  });

  test("a client that never takes it does not hold a drain for longer than its time", { timeout: 30_000 }, async () => {
    const size = 12_000_000;
    await using app = await httpBackend((_request, response) => { response.end(Buffer.alloc(size, 7)); });
    await using r = await rig(options);
    r.serve([app]);
    await using line = await slowLine(secure ? r.router.tlsAddress?.port as number : r.port);
    const client = connect(`${secure ? "https" : "http"}://127.0.0.1:${line.port}`, { ca: ca?.ca ?? "", servername: "app.example.com", settings: { initialWindowSize: windowBytes } });
    client.on("error", () => undefined).on("connect", () => client.setLocalWindowSize(windowBytes));
    const stream = client.request({ ":authority": "app.example.com" });
    let heard = 0;
    stream.on("data", (piece: Buffer) => { heard += piece.length; }).on("error", () => undefined);
    await eventually(() => heard > 100_000);
    line.hold();
    const begun = performance.now();
    await r.router.drain({ timeoutMs: 400 });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(390);
    expect(r.router.state).toBe("stopped");
    client.destroy();
  });
});

test("a client that never hangs up does not hold a drain for its whole time", { timeout: 30_000 }, async () => {
  await using r = await rig();
  const client = connectTcp({ port: r.port, host: "127.0.0.1", allowHalfOpen: true });
  client.on("error", () => undefined).resume();
  const told = new Promise((resolve) => client.once("data", resolve));
  // The preface, and settings without a word in them (RFC 9113 section 3.4).
  client.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
  await told;
  const begun = performance.now();
  await r.router.drain({ timeoutMs: 25_000 });
  expect(performance.now() - begun).toBeLessThan(15_000);
  client.destroy();
});
