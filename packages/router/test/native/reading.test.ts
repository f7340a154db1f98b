import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readAsStream, readInto } from "../../src/native/read-into.ts";
import { authority } from "../fixtures/certificates.ts";
import { rig } from "../fixtures/rig.ts";

// All clients' connections read into the same memory, one after the other: nothing that is kept may be written over by the next.

const ca = authority();
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Answers with the digest of what it was sent, and its trailers; reads a piece, then rests, as long as the header says. */
const app = createServer((request: IncomingMessage, response) => {
  const rests = Number(request.headers["x-rests"] ?? 0);
  const hash = createHash("sha256");
  request.on("data", (piece: Buffer) => {
    hash.update(piece);
    if (rests === 0) return;
    request.pause();
    setTimeout(() => request.resume(), rests);
  });
  request.on("end", () => response.end(`${hash.digest("hex")} ${request.url!}`));
});
app.on("upgrade", (_, socket: Socket, head: Buffer) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  socket.write(head);
  socket.pipe(socket);
});
let port: number;
beforeAll(async () => {
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  ({ port } = app.address() as AddressInfo);
});
afterAll(() => { app.closeAllConnections(); app.close(); });

/** The digests and targets in the answers, as many as asked for. */
async function answers(socket: Socket, count: number): Promise<string[]> {
  let heard = "";
  for await (const piece of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    heard += piece.toString("latin1");
    const found = [...heard.matchAll(/[0-9a-f]{64} \S+?(?=HTTP|\r|$)/g)].map(([text]) => text);
    if (found.length >= count && heard.split("HTTP/1.1 200").length > count) return found;
  }
  throw new Error(`closed behind ${heard}`);
}

const chunked = (body: Buffer, size: number): Buffer => {
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size);
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  }
  return Buffer.concat([...pieces, Buffer.from("0\r\n\r\n")]);
};

test.each([
  ["a plain connection", false],
  ["a connection with TLS", true],
])("%s that was accepted reads into memory of ours, and as a stream again", async (_, secure) => {
  const memory = Buffer.alloc(16);
  const taken: string[] = [];
  const server: Server = secure ? createTlsServer(ca?.sign("localhost") ?? {}) : createTcpServer();
  const accepted = new Promise<Socket>((resolve) => server.once(secure ? "secureConnection" : "connection", resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: own } = server.address() as AddressInfo;
  const client = secure ? connectTls({ port: own, rejectUnauthorized: false }) : connect(own);
  const socket = await accepted;
  const streamed: string[] = [];
  socket.on("data", (piece: Buffer) => streamed.push(piece.toString()));
  // Where this fails on a new version of Node, reading has become dear again, and nothing else: see docs/decisions/0024.
  expect(readInto(socket, { buffer: () => memory, callback: (size) => taken.push(memory.toString("latin1", 0, size)) > 0 })).toBe(true);
  client.write("one");
  await expect.poll(() => taken.join("")).toBe("one");
  readAsStream(socket);
  socket.pause();
  client.write("two and three");
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(streamed).toEqual([]);
  socket.resume();
  await expect.poll(() => streamed.join("")).toBe("two and three");
  client.destroy();
  socket.destroy();
  server.close();
});

test("uploads that come at the same time arrive byte by byte as they were sent", { timeout: 120_000 }, async () => {
  const upload = fc.record({
    bytes: fc.constantFrom(0, 1, 100, 30_000, 65_536, 200_000, 1_500_000), writes: fc.constantFrom(3_000, 16_384, 65_536, 1_000_000),
    chunk: fc.constantFrom(0, 1_000, 40_000, 300_000), rests: fc.constantFrom(0, 0, 1, 3), ahead: fc.boolean(),
  });
  await using r = await rig({ engine: "native" });
  r.serve([{ host: "127.0.0.1", port }]);
  await fc.assert(fc.asyncProperty(fc.array(upload, { minLength: 2, maxLength: 6 }), async (uploads) => {
    await Promise.all(uploads.map(async ({ bytes, writes, chunk, rests, ahead }, index) => {
      const socket = connect(r.port, "127.0.0.1");
      try {
        // Twice on one connection: at first it is read as a stream. `ahead`: the next request is there before the answer.
        const bodies = [randomBytes(bytes), randomBytes(bytes)];
        const requests = bodies.map((body, time) => Buffer.concat([
          Buffer.from(`POST /${index}/${time} HTTP/1.1\r\nHost: app.example.com\r\nX-Rests: ${rests}\r\n${chunk > 0 ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`}\r\n\r\n`),
          chunk > 0 ? chunked(body, chunk) : body,
        ]));
        const wanted = bodies.map((body, time) => `${digest(body)} /${index}/${time}`);
        const send = async (all: Buffer): Promise<void> => {
          for (let at = 0; at < all.length; at += writes) {
            if (!socket.write(all.subarray(at, at + writes))) await new Promise((resolve) => socket.once("drain", resolve));
            else await turn();
          }
        };
        if (ahead) {
          const [heard] = await Promise.all([answers(socket, 2), send(Buffer.concat(requests))]);
          expect(heard).toEqual(wanted);
        } else for (const [time, request] of requests.entries()) expect((await Promise.all([answers(socket, 1), send(request)]))[0]).toEqual([wanted[time]]);
      } finally {
        socket.destroy();
      }
    }));
  }), { numRuns: 8 });
});

test("a large upload to an app that reads slowly arrives byte by byte as it was sent", { timeout: 60_000 }, async () => {
  await using r = await rig({ engine: "native" });
  r.serve([{ host: "127.0.0.1", port }]);
  await Promise.all([0, 70_000].map(async (chunk) => {
    const body = randomBytes(16_000_000);
    const socket = connect(r.port, "127.0.0.1");
    socket.write(`POST /large HTTP/1.1\r\nHost: app.example.com\r\nX-Rests: 2\r\n${chunk > 0 ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`}\r\n\r\n`);
    socket.write(chunk > 0 ? chunked(body, chunk) : body);
    expect(await answers(socket, 1)).toEqual([`${digest(body)} /large`]);
    socket.destroy();
  }));
});

test("a connection that leaves HTTP behind some requests carries everything both ways", { timeout: 60_000 }, async () => {
  await using r = await rig({ engine: "native" });
  r.serve([{ host: "127.0.0.1", port }]);
  const body = randomBytes(5_000_000);
  await Promise.all(Array.from({ length: 4 }, async () => {
    const socket = connect(r.port, "127.0.0.1");
    for (let time = 0; time < 2; time += 1) {
      socket.write("GET /before HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      await answers(socket, 1);
    }
    socket.write(Buffer.concat([Buffer.from("GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"), body.subarray(0, 10)]));
    const heard: Buffer[] = [];
    let bytes = 0;
    const all = new Promise<Buffer>((resolve) => socket.on("data", (piece: Buffer) => {
      heard.push(piece);
      bytes += piece.length;
      if (bytes % 7 === 0) {
        socket.pause();
        setTimeout(() => socket.resume(), 2);
      }
      const begun = heard[0]!.indexOf("\r\n\r\n") + 4;
      if (bytes >= begun + body.length) resolve(Buffer.concat(heard).subarray(begun));
    }));
    socket.resume();
    socket.write(body.subarray(10));
    expect(digest(await all)).toBe(digest(body));
    socket.destroy();
  }));
});
