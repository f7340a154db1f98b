import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Intake } from "../../src/native/intake.ts";
import { rig } from "../fixtures/rig.ts";

// Of how much memory a connection makes use, whatever the sizes in which its bytes come.

/** Reads as Node does: it asks for memory before the first reading and behind each one, and keeps what it has when it is given none. */
function reader() {
  const shared = Buffer.alloc(65_536);
  const intake = new Intake(shared);
  const seen = new Set<ArrayBufferLike>();
  let memory: Uint8Array = intake.onread.buffer();
  return {
    intake, shared, seen,
    read(size: number): void {
      seen.add(memory.buffer);
      intake.onread.callback(size, memory);
      memory = (intake.onread.buffer() as Uint8Array | undefined) ?? memory;
    },
    next: () => memory,
  };
}

test("large pieces with small ones between them, each written at once, take one piece of memory beside the shared one", () => {
  const { intake, shared, seen, read } = reader();
  intake.taker = () => false;
  for (let at = 0; at < 500; at += 1) read(at % 3 === 2 ? 10_000 : 65_536);
  expect(seen.size).toBe(2);
  expect(seen).toContain(shared.buffer);
});

test("what is written later, small or large, is read into again when it is given back", () => {
  const { intake, seen, read, next } = reader();
  const waiting: Buffer[] = [];
  intake.taker = (chunk, lasting) => {
    if (lasting) waiting.push(chunk);
    return lasting;
  };
  for (let at = 0; at < 500; at += 1) {
    read(at % 3 === 2 ? 10_000 : 65_536);
    // What waits is not read into.
    expect(new Set([next(), ...waiting].map(({ buffer }) => buffer)).size).toBe(waiting.length + 1);
    if (waiting.length > 3) intake.giveBack(waiting.shift()!);
  }
  expect(seen.size).toBeLessThan(8);
});

test("a connection that goes over to small pieces, or rests, reads into the shared memory again", () => {
  const { intake, shared, read, next } = reader();
  intake.taker = () => false;
  for (let at = 0; at < 3; at += 1) read(65_536);
  expect(next()).not.toBe(shared);
  for (let at = 0; at < 9; at += 1) read(100);
  expect(next()).toBe(shared);

  for (let at = 0; at < 3; at += 1) read(65_536);
  expect(next()).not.toBe(shared);
  // The body ends within a large piece.
  intake.taker = () => { intake.rest(); return false; };
  read(65_536);
  expect(next()).toBe(shared);
});

test("connections that have carried large bodies and are idle hold no memory for them", { timeout: 30_000 }, async () => {
  const count = 40;
  // A whole number of readings, mostly: what comes last is large.
  const body = Buffer.alloc(32 * 65_536);
  const arrived: (() => void)[] = [];
  const app = createServer((request, response) => {
    request.resume().on("end", () => {
      // All at the same time, so that each has a connection to the app.
      arrived.push(() => void response.end(request.url === "/large" ? body : "small"));
      if (arrived.length === count) for (const answer of arrived.splice(0)) answer();
    });
  }).listen(0, "127.0.0.1");
  await once(app, "listening");
  await using r = await rig({ engine: "native" });
  r.serve([{ host: "127.0.0.1", port: (app.address() as AddressInfo).port }]);
  const sockets = await Promise.all(Array.from({ length: count }, async () => {
    const socket = connect(r.port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  }));
  const ask = (socket: Socket, target: string, sent: Buffer, expected: number): Promise<void> => new Promise((resolve) => {
    let heard = 0;
    const read = (piece: Buffer): void => {
      heard += piece.length;
      if (heard < expected) return;
      socket.off("data", read);
      resolve();
    };
    socket.on("data", read);
    socket.write(`POST ${target} HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: ${sent.length}\r\n\r\n`);
    socket.write(sent);
  });
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = async (): Promise<number> => {
    await expect.poll(() => r.records.length).toBe(count);
    // They hold their requests.
    r.records.length = 0;
    for (let at = 0; at < 4; at += 1) { collect(); await new Promise((resolve) => setImmediate(resolve)); }
    return process.memoryUsage().arrayBuffers;
  };
  try {
    await Promise.all(sockets.map((socket) => ask(socket, "/small", Buffer.alloc(5), 100)));
    const before = await held();
    await Promise.all(sockets.map((socket) => ask(socket, "/large", body, body.length)));
    expect((await held() - before) / count).toBeLessThan(16_384);
  } finally {
    for (const socket of sockets) socket.destroy();
    app.closeAllConnections();
    app.close();
  }
});
