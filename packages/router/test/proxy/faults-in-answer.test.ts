import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { echo, httpBackend, rawBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { afterHead } from "../fixtures/faulty.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const limits = { endpointTimeoutMs: 5_000, backendIdleMs: 2_000 } as const;
const get = "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

/** Nothing is under way any more, and no socket to a backend is open. */
async function nothingIsLeft(r: Rig, ...backends: readonly Backend[]): Promise<void> {
  await eventually(() => r.router.inFlight === 0);
  for (const backend of backends) await eventually(() => backend.open() === 0, 8_000, () => `${backend.open()} sockets to close`);
  for (const { backend } of r.router.table.lookup("app.example.com", "/")?.endpoints ?? []) expect(backend.inFlight).toBe(0);
}

describe("13.84 a backend that dies within its answer's body", () => {
  for (const [framing, head] of [
    ["of known length", "Content-Length: 100\r\n\r\nhello"], ["in chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"], ["up to its end", "Connection: close\r\n\r\nhello"],
  ] as const) {
    for (const [how, die, cause] of [["resets", (socket: Socket) => socket.resetAndDestroy(), "connection reset"], ["closes", (socket: Socket) => socket.end(), "EOF"]] as const) {
      // Such a body ends with its connection: there is nothing to miss.
      if (framing === "up to its end" && how === "closes") continue;
      test(`body ${framing}, it ${how}: the client sees that something is missing, nobody is asked again`, async () => {
        let held: Socket | undefined;
        await using bad = await rawBackend(afterHead((socket) => {
          held = socket;
          socket.write(`HTTP/1.1 200 OK\r\n${head}`);
        }));
        await using good = await httpBackend(echo);
        await using r = await rig(limits);
        r.serve([bad, good]);
        const pool = r.router.table.lookup("app.example.com", "/");
        if (pool !== undefined) pool.cursor = 0;
        await using client = await wire(r.port, get);
        await client.until("hello");
        die(held as Socket);
        const heard = await client.end();
        expect(heard).toMatch(/^HTTP\/1\.1 200 OK/);
        expect(heard).not.toContain("\r\n0\r\n");
        await eventually(() => r.records.length === 1);
        expect(r.records[0]).toMatchObject({ status: 200, truncated: cause, attempts: 1 });
        expect(good.requests.length).toBe(0);
        expect(pool?.endpoints[0]?.backend.failedUntil).toBe(0);
        await nothingIsLeft(r, bad);
      });
    }
  }
});

describe("a backend that says more than it was asked", () => {
  for (const [what, text, body] of [
    ["more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "hello"],
    ["noise behind its answer", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello poison", "hello"],
    ["something behind its chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "hello"],
    ["a body with 204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", ""],
    ["a body with 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", ""],
  ] as const) {
    test(`${what}: the next client hears nothing of it`, async () => {
      let answered = 0;
      await using bad = await rawBackend((socket) => socket.on("data", () => {
        answered += 1;
        socket.write(answered === 1 ? text : "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");
      }));
      await using r = await rig(limits);
      r.serve([bad]);
      expect((await ask(r.port)).body).toBe(body);
      for (let n = 0; n < 3; n += 1) expect(await ask(r.port)).toMatchObject({ status: 200, body: "fresh" });
      expect(bad.connections()).toBe(2);
    });
  }

  test("answers twice, the second time when nobody asked: the next client gets its own", async () => {
    let answered = 0;
    let first: Socket | undefined;
    await using bad = await rawBackend((socket) => {
      first ??= socket;
      socket.on("data", () => {
        answered += 1;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${answered}`);
      });
    });
    await using r = await rig(limits);
    r.serve([bad]);
    expect((await ask(r.port)).body).toBe("1");
    first?.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    await eventually(() => first?.destroyed === true);
    expect((await ask(r.port)).body).toBe("2");
    expect(bad.connections()).toBe(2);
  });

  test("a body for HEAD: the next client hears nothing of it", async () => {
    await using bad = await rawBackend((socket) => socket.on("data", (chunk: Buffer) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${chunk.toString().startsWith("HEAD") ? 6 : 5}\r\n\r\n${chunk.toString().startsWith("HEAD") ? "poison" : "fresh"}`);
    }));
    await using r = await rig(limits);
    r.serve([bad]);
    expect(await ask(r.port, { method: "HEAD" })).toMatchObject({ status: 200, body: "", headers: { "content-length": "6" } });
    expect((await ask(r.port)).body).toBe("fresh");
  });
});

describe("a backend that answers before it has read the body", () => {
  const head = "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 8000000\r\n\r\n";
  for (const [what, after] of [["and closes", (socket: Socket) => void socket.end()], ["and reads on", () => undefined]] as const) {
    test(`${what}: the client gets that answer, and nothing of the body reaches anybody else`, async () => {
      const seen: string[] = [];
      await using app = await rawBackend((socket) => {
        let asked = false;
        socket.on("data", (chunk: Buffer) => {
          if (asked) return;
          asked = true;
          seen.push(chunk.toString("latin1").slice(0, 4));
          socket.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig", () => after(socket));
        });
      });
      await using r = await rig(limits);
      r.serve([app]);
      await using client = await wire(r.port, head);
      client.send(Buffer.alloc(100_000, "x"));
      expect(await client.until("big")).toMatch(/^HTTP\/1\.1 413 /);
      client.socket.destroy();
      expect((await ask(r.port)).status).toBe(413);
      expect(seen).toEqual(["POST", "GET "]);
      expect(app.connections()).toBe(2);
      await eventually(() => r.router.inFlight === 0);
      expect(r.records.map(({ status, attempts }) => [status, attempts])).toEqual([[413, 1], [413, 1]]);
    });
  }

  for (const [what, die] of [["resets", (socket: Socket) => socket.resetAndDestroy()], ["closes", (socket: Socket) => socket.destroy()]] as const) {
    test(`or that ${what} within it: 502, nobody else gets half a body`, async () => {
      await using bad = await rawBackend((socket) => {
        let bytes = 0;
        socket.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > 50_000) die(socket);
        });
      });
      await using good = await httpBackend(echo);
      await using r = await rig(limits);
      r.serve([bad, good]);
      const pool = r.router.table.lookup("app.example.com", "/");
      if (pool !== undefined) pool.cursor = 0;
      await using client = await wire(r.port, head);
      client.send(Buffer.alloc(100_000, "x"));
      expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502 [\s\S]*endpoint_failure \((connection reset|EOF)\)/);
      expect(good.requests.length).toBe(0);
      client.socket.destroy();
      await nothingIsLeft(r, bad);
    });
  }
});

describe("13.70 a kept connection that", () => {
  for (const [what, die] of [["is reset while idle", (socket: Socket) => socket.resetAndDestroy()], ["is closed while idle", (socket: Socket) => socket.end()]] as const) {
    test(`${what} costs nobody anything`, async () => {
      let held: Socket | undefined;
      await using app = await rawBackend((socket) => {
        held = socket;
        socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      });
      await using r = await rig(limits);
      r.serve([app]);
      for (let n = 1; n <= 5; n += 1) {
        expect((await ask(r.port, { method: n % 2 ? "GET" : "POST" })).body).toBe("ok");
        expect(app.connections()).toBe(n);
        const before = held as Socket;
        die(before);
        await eventually(() => app.open() === 0);
      }
    });
  }

  for (const [what, die] of [["is reset", (socket: Socket) => socket.resetAndDestroy()], ["is closed", (socket: Socket) => socket.end()]] as const) {
    test(`${what} as it is used: a GET is sent again on a new one, of the only endpoint; a POST is not`, async () => {
      // Each connection answers once, and dies of its second request.
      await using app = await rawBackend((socket) => {
        let asked = 0;
        socket.on("data", () => {
          asked += 1;
          if (asked > 1) die(socket);
          else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      });
      await using r = await rig(limits);
      r.serve([app]);
      for (let n = 0; n < 5; n += 1) expect(await ask(r.port)).toMatchObject({ status: 200, body: "ok" });
      expect((await ask(r.port, { method: "POST", body: "x" })).status).toBe(502);
      // By then several stand idle, and all of them are dead.
      const pool = r.router.table.lookup("app.example.com", "/");
      for (const { backend } of pool?.endpoints ?? []) backend.failedUntil = 0;
      expect((await Promise.all(Array.from({ length: 8 }, () => ask(r.port)))).map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
      expect((await Promise.all(Array.from({ length: 8 }, () => ask(r.port)))).map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    });
  }
});
