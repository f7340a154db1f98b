import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { rig } from "../fixtures/rig.ts";

// Memory into which large answers are read is used again as soon as a piece of it is written: no byte may be written over before.

/** Bytes that tell where in the body they stand. */
function bodyOf(bytes: number): Buffer {
  const body = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; at += 4) body.writeUInt32LE(Math.imul(at + 1, 0x9e3779b1) >>> 0, at);
  return body;
}

const body = bodyOf(24 * 1_048_576);
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** An app that sends the body in pieces of the given sizes, with a length or in chunks. */
async function largeApp(pieces: readonly number[], chunked: boolean): Promise<{ port: number } & AsyncDisposable> {
  const server: Server = createServer((_, response) => {
    if (!chunked) response.setHeader("Content-Length", body.length);
    let at = 0;
    let turn = 0;
    const send = (): void => {
      while (at < body.length) {
        const piece = body.subarray(at, at + (pieces[turn++ % pieces.length] as number));
        at += piece.length;
        if (!response.write(piece)) return void response.once("drain", send);
      }
      response.end();
    };
    send();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => { server.closeAllConnections(); server.close(() => resolve()); }),
  };
}

/** Reads one answer as slowly as `rests` says: after so many bytes a pause of a turn or two. Gives the body. */
async function read(socket: Socket, { chunked, rests }: { chunked: boolean; rests: readonly number[] }): Promise<Buffer> {
  socket.write("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
  const heard: Buffer[] = [];
  let bytes = 0;
  let turn = 0;
  let next = rests[0] as number;
  const whole = (): boolean => (chunked ? bytes > body.length && Buffer.concat(heard.slice(-2)).subarray(-5).toString() === "0\r\n\r\n" : bytes >= body.length + (heard[0] as Buffer).indexOf("\r\n\r\n") + 4);
  await new Promise<void>((resolve, reject) => {
    socket.on("error", reject).on("close", () => reject(new Error(`closed after ${bytes} bytes`)));
    socket.on("data", (piece: Buffer) => {
      heard.push(piece);
      bytes += piece.length;
      if (whole()) return resolve();
      if (bytes < next) return;
      next = bytes + (rests[++turn % rests.length] as number);
      socket.pause();
      setTimeout(() => socket.resume(), turn % 4);
    });
  });
  socket.removeAllListeners("close").removeAllListeners("data");
  const all = Buffer.concat(heard);
  const begun = all.indexOf("\r\n\r\n") + 4;
  return chunked ? unchunked(all.subarray(begun)) : all.subarray(begun);
}

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}

const wanted = digest(body);

test("a large answer arrives byte by byte as it was sent, however its app writes and its client reads", { timeout: 120_000 }, async () => {
  const sizes = fc.array(fc.constantFrom(1_000, 16_384, 65_536, 70_001, 300_000, 1_048_576), { minLength: 1, maxLength: 4 });
  await fc.assert(fc.asyncProperty(sizes, sizes, fc.boolean(), async (pieces, rests, chunked) => {
    await using app = await largeApp(pieces, chunked);
    await using r = await rig({ engine: "native" });
    r.serve([{ host: "127.0.0.1", port: app.port }]);
    const socket = connect(r.port, "127.0.0.1");
    try {
      // Twice: the second one finds the connection to the app, and the memory, of the first.
      for (let time = 0; time < 2; time += 1) expect(digest(await read(socket, { chunked, rests }))).toBe(wanted);
    } finally {
      socket.destroy();
    }
  }), { numRuns: 8 });
});
