import { describe, expect, test } from "vitest";
import { echo, httpBackend, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";

const post = (length: number) => `POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: ${length}\r\n\r\n`;

describe("13.72 a client that", () => {
  test("stops within its body is told so, and its endpoint is free again", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ clientStallMs: 300, backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, `${post(100)}some`);
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.1 408 [\s\S]*request_timeout/);
    await eventually(() => r.router.inFlight === 0 && app.open() === 0);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 408, error: "request_timeout" });
    expect((await ask(r.port)).status).toBe(200);
  });

  test("says nothing at all is let go when its time for a head is over, not after twice that", async () => {
    const clock = manualClock();
    await using r = await rig({ clock, headersTimeoutMs: 60_000 });
    await using client = await wire(r.port);
    let over = false;
    client.socket.on("close", () => { over = true; });
    await eventually(() => { clock.advance(60_000); return over; });
    expect(client.heard()).toBe("");
  });

  test("sends a body slowly but steadily is served to its end", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ clientStallMs: 1_000 });
    r.serve([app]);
    await using client = await wire(r.port, post(12));
    for (let n = 0; n < 12; n += 1) {
      client.send("x");
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    expect(await client.until("xxxxxxxxxxxx")).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("waits for an app that does not read is not the one to blame", async () => {
    const held: (() => void)[] = [];
    await using app = await rawBackend((socket) => {
      socket.pause();
      held.push(() => {
        socket.resume();
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nread");
      });
    });
    await using r = await rig({ clientStallMs: 150 });
    r.serve([app]);
    await using client = await wire(r.port, post(50_000_000));
    client.send(Buffer.alloc(50_000_000, "x"));
    await eventually(() => held.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(client.heard()).toBe("");
    held[0]?.();
    expect(await client.until("read", 20_000)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("pauses in a conversation that the app has begun is let pause", async () => {
    await using app = await httpBackend((request, response) => {
      response.write("go on\n");
      request.on("data", () => undefined).on("end", () => response.end("done"));
    });
    await using r = await rig({ clientStallMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, `${post(2)}x`);
    await client.until("go on");
    await new Promise((resolve) => setTimeout(resolve, 400));
    client.send("y");
    await client.until("done");
  });

  test("takes nothing of an endless answer holds back the app, and costs little memory", async () => {
    let sent = 0;
    await using app = await httpBackend((_, response) => {
      const chunk = Buffer.alloc(65_536, "x");
      const more = (): void => {
        do sent += chunk.length; while (!response.destroyed && response.write(chunk) && sent < 500_000_000);
      };
      response.on("drain", more);
      more();
    });
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    let before = -1;
    await eventually(async () => {
      const now = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
      const still = now === before && now > 0;
      before = now;
      return still;
    }, 20_000);
    // What four socket buffers and two streams hold, not what the app has to say.
    expect(sent).toBeLessThan(40_000_000);
    client.socket.destroy();
    await eventually(() => r.router.inFlight === 0 && app.open() === 0);
  });

  test("closes its half of the connection after its request has left", async () => {
    await using app = await rawBackend((socket) => void socket.resume());
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => app.heard() > 0);
    client.socket.end();
    await eventually(() => r.records.length === 1 && app.open() === 0);
    expect(r.records[0]).toMatchObject({ status: 499, attempts: 1 });
    await client.end();
  });
});

test("connections beyond the limit are closed at once and counted; places are taken again when others leave", async () => {
  await using app = await httpBackend(echo);
  await using r = await rig({ maxClientConnections: 2 });
  r.serve([app]);
  const one = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
  await one.until("\"method\"");
  await using two = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
  await two.until("\"method\"");
  await using three = await wire(r.port);
  expect(await three.end()).toBe("");
  expect(r.router.numbers()).toMatchObject({ dropped_connections: 1 });
  one.socket.destroy();
  await eventually(async () => (await ask(r.port).catch(() => undefined))?.status === 200);
});
