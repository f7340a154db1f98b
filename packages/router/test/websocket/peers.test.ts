import { deflateRawSync, inflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { createServer as createSecureServer } from "node:https";
import { createServer, type Server } from "node:http";
import { eventually } from "../fixtures/client.ts";
import { namedCodes } from "./cases.ts";
import { closing, decode, encode, encodeAll, opcodes, type Frame } from "./frames.ts";
import { accepted, connect, secureAppOptions, routerFor, ways, type End, type Way } from "./ways.ts";

/** An app with a WebSocket library: it repeats messages, prefers the protocol `chat.v2`, and compresses what it can. */
async function library(secure: boolean) {
  const server: Server = secure ? createSecureServer(secureAppOptions()) : createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 }, handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false) });
  const closed: number[] = [];
  sockets.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("close", (code) => closed.push(code));
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port, secure, closed,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets.clients) socket.terminate();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Sends frames, and waits for so many. */
async function answered(client: End, sent: readonly Frame[], count: number) {
  client.socket.write(encodeAll(sent, "client"));
  await eventually(() => decode(client.heard()).length >= count, 15_000, () => JSON.stringify(decode(client.heard())));
  return decode(client.heard());
}

/** RFC 7692, 7.2.2. */
const unpacked = (payload: Buffer): string => inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]), { finishFlush: 2 }).toString();

describe.each(ways)("13.66 an app with a WebSocket library: $name", (way: Way) => {
  test("protocol and compression are agreed between the two ends, and nobody else", async () => {
    await using app = await library(way.secureApp);
    await using r = await routerFor(way, app);
    const client = await connect(way, r, { headers: { "Sec-WebSocket-Protocol": "chat.v1, chat.v2", "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" } });
    expect(client.head).toMatchObject({ ":status": way.front.http2 ? "200" : "101", "sec-websocket-protocol": "chat.v2", "sec-websocket-extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" });
    if (!way.front.http2) expect(client.head["sec-websocket-accept"]).toBe(accepted);
    const words = "again and again ".repeat(500);
    const [back] = await answered(client, [{ opcode: opcodes.text, rsv: 4, payload: deflateRawSync(words, { finishFlush: 2 }).subarray(0, -4) }], 1);
    expect([back?.rsv, back?.opcode, unpacked(back?.payload ?? Buffer.alloc(0)) === words]).toEqual([4, opcodes.text, true]);
    expect(back?.payload.length).toBeLessThan(words.length / 10);
    client.socket.destroy();
    // Who offers nothing gets nothing.
    const plain = await connect(way, r);
    expect([plain.head["sec-websocket-protocol"], plain.head["sec-websocket-extensions"]]).toEqual([undefined, undefined]);
    plain.socket.destroy();
  });

  test("pings between fragments are answered by the app, each with its own payload", async () => {
    await using app = await library(way.secureApp);
    await using r = await routerFor(way, app);
    const client = await connect(way, r);
    const pings = [0, 1, 125].map((length) => ({ opcode: opcodes.ping, payload: Buffer.alloc(length, length) }));
    const heard = await answered(client, [{ opcode: opcodes.text, fin: false, payload: Buffer.from("one ") }, ...pings, { opcode: opcodes.continuation, payload: Buffer.from("two") }], 4);
    expect(heard.map(({ opcode, payload }) => [opcode, payload.toString("latin1")])).toEqual([...pings.map(({ payload }) => [opcodes.pong, payload.toString("latin1")]), [opcodes.text, "one two"]]);
    client.socket.destroy();
  });

  test("closes with every code are answered as the app sees fit, and the connection ends in good order", async () => {
    await using app = await library(way.secureApp);
    await using r = await routerFor(way, app);
    const forbidden = new Set([1_004, 1_005, 1_006, 1_015]);
    for (const code of [...namedCodes, 3_000, 4_999, undefined]) {
      const client = await connect(way, r);
      client.socket.on("end", () => client.socket.end());
      const [back] = await answered(client, [{ opcode: opcodes.close, payload: closing(code, code === undefined ? "" : "why") }], 1);
      // What may not be sent is an error of the client's (RFC 6455, 7.4.1), and it is the app that says so.
      const said = code === undefined ? "" : closing(forbidden.has(code) ? 1_002 : code).toString("hex");
      expect([code, back?.opcode, back?.payload.subarray(0, 2).toString("hex")]).toEqual([code, opcodes.close, said]);
      await eventually(() => client.state.closed, 15_000, () => `${code}: ${JSON.stringify(client.state)}`);
      expect([code, client.state.ended, client.state.failed]).toEqual([code, true, undefined]);
    }
    await eventually(() => app.closed.length === namedCodes.length + 3 && r.router.inFlight === 0, 15_000);
  }, 60_000);

  test("frames that nobody may send are refused by the app, which says why", async () => {
    await using app = await library(way.secureApp);
    await using r = await routerFor(way, app);
    const wrong: [Frame, number][] = [
      [{ opcode: opcodes.text, payload: Buffer.from("?"), masked: false }, 1_002], [{ opcode: 3, payload: Buffer.from("?") }, 1_002], [{ opcode: opcodes.text, rsv: 2, payload: Buffer.from("?") }, 1_002],
      [{ opcode: opcodes.text, payload: Buffer.from([0xff]) }, 1_007], [{ opcode: opcodes.ping, payload: Buffer.alloc(126) }, 1_002],
    ];
    for (const [frame, code] of wrong) {
      const client = await connect(way, r);
      client.socket.write(encode(frame, "client"));
      const [back] = await answered(client, [], 1);
      expect([frame, back?.opcode, back?.payload.subarray(0, 2)]).toEqual([frame, opcodes.close, closing(code)]);
      client.socket.destroy();
    }
  });
});
