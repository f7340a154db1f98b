import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer, type ServerOptions } from "ws";
import { echo, httpBackend, rawBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const own = authority();
const handshake = "GET /chat HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/** A frame of a client, masked; `flags`: FIN and the reserved bits. */
function frame(flags: number, opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head = length < 126 ? Buffer.from([0x80 | length]) : length < 65_536 ? Buffer.from([0xfe, length >> 8, length & 255]) : Buffer.from([0xff, 0, 0, 0, 0, length >>> 24, length >> 16 & 255, length >> 8 & 255, length & 255]);
  const mask = randomBytes(4);
  return Buffer.concat([Buffer.from([flags | opcode]), head, mask, Buffer.from(payload.map((byte, at) => byte ^ (mask[at % 4] as number)))]);
}

/** An app that agrees to anything and gives back, byte by byte, what it hears. */
const repeater = () => rawBackend((socket) => socket.once("data", () => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  socket.pipe(socket);
}));

async function chatty(options: ServerOptions = {}) {
  const app = await httpBackend(echo);
  const sockets = new WebSocketServer({ server: app.server, maxPayload: 64 * 1_048_576, ...options });
  const closed: [number, string][] = [];
  const pinged: Buffer[] = [];
  sockets.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("ping", (data: Buffer) => pinged.push(data));
    socket.on("close", (code, reason) => closed.push([code, reason.toString()]));
    socket.on("message", (data: Buffer, isBinary) => {
      if (data.toString() === "close me") socket.close(4_002, "as you wish");
      else socket.send(data, { binary: isBinary });
    });
  });
  return { ...app, closed, pinged };
}

for (const secure of [false, true]) {
  describe.skipIf(secure && own === undefined)(`WebSocket frames${secure ? " over TLS" : ""}`, () => {
    const router = (): Promise<Rig> => rig(secure ? { tls: { port: 0, certificates: [own?.sign("app.example.com") as Certificate] } } : {});
    const portOf = (r: Rig): number => (secure ? (r.router.tlsAddress as { port: number }).port : r.port);
    const open = async (r: Rig, options: object = {}): Promise<WebSocket> => {
      const socket = new WebSocket(`${secure ? "wss" : "ws"}://127.0.0.1:${portOf(r)}/`, { headers: { host: "app.example.com" }, maxPayload: 64 * 1_048_576, ...(secure ? { ca: own?.ca, servername: "app.example.com" } : {}), ...options });
      socket.on("error", () => undefined);
      await once(socket, "open");
      return socket;
    };
    /** A raw connection past its handshake, with what it hears from then on. */
    async function tunnel(r: Rig): Promise<{ socket: Socket; heard: () => Buffer }> {
      const socket: Socket = secure ? connectTls({ host: "127.0.0.1", port: portOf(r), ca: own?.ca ?? "", servername: "app.example.com" }) : (await wire(portOf(r))).socket;
      socket.on("error", () => undefined);
      if (secure) await once(socket, "secureConnect");
      socket.removeAllListeners("data");
      let all = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => { all = Buffer.concat([all, chunk]); });
      socket.write(handshake);
      await eventually(() => all.includes("\r\n\r\n"));
      const from = all.indexOf("\r\n\r\n") + 4;
      return { socket, heard: () => all.subarray(from) };
    }

    for (const size of [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1_048_576, 16 * 1_048_576]) {
      test(`13.66: messages of ${size} bytes, text and binary`, async () => {
        await using app = await chatty();
        await using r = await router();
        r.serve([app]);
        const socket = await open(r, { perMessageDeflate: false });
        for (const message of ["*".repeat(size), randomBytes(size)]) {
          socket.send(message);
          const [data, isBinary] = await once(socket, "message") as [Buffer, boolean];
          expect([isBinary, data.equals(Buffer.from(message))]).toEqual([typeof message !== "string", true]);
        }
        socket.terminate();
      });
    }

    test("fragments, with pings between them", async () => {
      await using app = await chatty();
      await using r = await router();
      r.serve([app]);
      const socket = await open(r, { perMessageDeflate: false });
      const pongs: string[] = [];
      socket.on("pong", (data: Buffer) => pongs.push(data.toString()));
      for (let n = 0; n < 50; n += 1) {
        socket.send(`part ${n};`, { fin: n === 49 });
        if (n % 10 === 0) socket.ping(`ping ${n}`);
      }
      const [data] = await once(socket, "message") as [Buffer];
      expect(data.toString()).toBe(Array.from({ length: 50 }, (_, n) => `part ${n};`).join(""));
      await eventually(() => pongs.length === 5);
      expect(pongs).toEqual(["ping 0", "ping 10", "ping 20", "ping 30", "ping 40"]);
      socket.terminate();
    });

    test("pings from either side, of 0 to 125 bytes, are answered by the other side and not by the router", async () => {
      await using app = await chatty();
      await using r = await router();
      r.serve([app]);
      const socket = await open(r);
      for (const size of [0, 1, 125]) {
        const data = randomBytes(size);
        socket.ping(data);
        const [pong] = await once(socket, "pong") as [Buffer];
        expect(pong.equals(data)).toBe(true);
      }
      expect(app.pinged.map(({ length }) => length)).toEqual([0, 1, 125]);
      socket.terminate();
    });

    test("close codes and reasons, both ways", async () => {
      await using app = await chatty();
      await using r = await router();
      r.serve([app]);
      const codes = [1_000, 1_001, 1_002, 1_003, 1_007, 1_008, 1_009, 1_010, 1_011, 3_000, 3_999, 4_000, 4_999];
      for (const code of codes) {
        const socket = await open(r);
        socket.close(code, `reason ${code}`);
        const [back, reason] = await once(socket, "close") as [number, Buffer];
        expect([back, reason.toString()]).toEqual([code, `reason ${code}`]);
      }
      await eventually(() => app.closed.length === codes.length);
      expect([...app.closed].sort(([one], [other]) => one - other)).toEqual(codes.map((code) => [code, `reason ${code}`]));
      const socket = await open(r);
      socket.send("close me");
      const [code, reason] = await once(socket, "close") as [number, Buffer];
      expect([code, reason.toString()]).toEqual([4_002, "as you wish"]);
      const silent = await open(r);
      silent.close();
      expect((await once(silent, "close"))[0]).toBe(1_005);
      const gone = await open(r);
      gone.terminate();
      await eventually(() => app.closed.some(([one]) => one === 1_006));
    });

    for (const takeover of [true, false]) {
      test(`compression is agreed between client and app${takeover ? "" : ", without takeover of context"}, and passes as it is`, async () => {
        const perMessageDeflate = { threshold: 0, ...(takeover ? {} : { serverNoContextTakeover: true, clientNoContextTakeover: true }) };
        await using app = await chatty({ perMessageDeflate });
        await using r = await router();
        r.serve([app]);
        const socket = await open(r, { perMessageDeflate });
        expect(socket.extensions).toContain("permessage-deflate");
        for (const message of ["a".repeat(100_000), "a".repeat(100_000), JSON.stringify({ n: 1 }), randomBytes(10_000)]) {
          socket.send(message);
          const [data] = await once(socket, "message") as [Buffer];
          expect(data.equals(Buffer.from(message))).toBe(true);
        }
        socket.terminate();
        await eventually(() => r.records.length === 1);
        // Compressed it was, all the way.
        expect(r.records[0]?.bytesIn).toBeLessThan(20_000);
      });
    }

    test("13.66: whatever frames there are, also such as nobody may send, pass byte by byte and in their order", async () => {
      await using app = await repeater();
      await using r = await router();
      r.serve([app]);
      const frames = fc.array(fc.tuple(fc.constantFrom(0x00, 0x80, 0x40, 0xf0, 0xc0), fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 400 })), { minLength: 1, maxLength: 12 });
      await fc.assert(fc.asyncProperty(frames, fc.integer({ min: 1, max: 300 }), async (sent, piece) => {
        const bytes = Buffer.concat(sent.map(([flags, opcode, payload]) => frame(flags, opcode, Buffer.from(payload))));
        const { socket, heard } = await tunnel(r);
        for (let at = 0; at < bytes.length; at += piece) {
          socket.write(bytes.subarray(at, at + piece));
          if (at % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await eventually(() => heard().length >= bytes.length);
        expect(heard().equals(bytes)).toBe(true);
        socket.destroy();
      }), { numRuns: 30 });
    });

    test("a reader that stops is waited for, and gets everything afterwards", async () => {
      const total = 24 * 1_048_576;
      let written = 0;
      await using app = await rawBackend((socket) => socket.once("data", () => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        const more = (): void => {
          while (written < total) { written += 65_536; if (!socket.write(Buffer.alloc(65_536, 7))) { socket.once("drain", more); return; } }
        };
        more();
      }));
      await using r = await router();
      r.serve([app]);
      const { socket, heard } = await tunnel(r);
      socket.pause();
      let last = -1;
      await eventually(async () => { await new Promise((resolve) => setTimeout(resolve, 100)); const settled = last === written; last = written; return settled; }, 15_000);
      expect(written).toBeLessThan(total);
      socket.removeAllListeners("data");
      let rest = heard().length;
      socket.on("data", (chunk: Buffer) => { rest += chunk.length; });
      socket.resume();
      await eventually(() => rest >= total, 15_000);
      socket.destroy();
    });
  });
}
