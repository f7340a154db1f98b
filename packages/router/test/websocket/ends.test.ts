import { describe, expect, test } from "vitest";
import { eventually } from "../fixtures/client.ts";
import { closing, encode, encodeAll, opcodes } from "./frames.ts";
import { app, heard, leave, open, routerFor, ways } from "./ways.ts";

const hello = encodeAll([{ opcode: opcodes.text, payload: Buffer.from("first of all") }, { opcode: opcodes.ping }], "client");
const welcome = encodeAll([{ opcode: opcodes.text, payload: Buffer.from("welcome") }, { opcode: opcodes.binary, payload: Buffer.alloc(30_000, 9) }], "app");
const clientClose = encode({ opcode: opcodes.close, payload: closing(1_000) }, "client");
const appClose = encode({ opcode: opcodes.close, payload: closing(1_000) }, "app");

describe.each(ways)("ends of a WebSocket: $name", (way) => {
  test("13.66 what either side says right behind its half of the handshake arrives, first and whole", async () => {
    await using given = await app({ secure: way.secureApp, behind: welcome });
    await using r = await routerFor(way, given);
    const tunnel = await open(way, r, given, { early: hello });
    tunnel.client.socket.write(clientClose);
    tunnel.app.socket.write(appClose);
    await heard(tunnel.app, hello.length + clientClose.length);
    await heard(tunnel.client, welcome.length + appClose.length);
    expect([tunnel.app.heard(), tunnel.client.heard()].map((bytes) => bytes.toString("hex"))).toEqual([Buffer.concat([hello, clientClose]), Buffer.concat([welcome, appClose])].map((bytes) => bytes.toString("hex")));
    leave(tunnel);
  });

  for (const [first, other] of [["client", "app"], ["app", "client"]] as const) {
    test(`half-close: the ${first} ends, the ${other} hears that and still speaks, then ends too`, async () => {
      await using given = await app({ secure: way.secureApp });
      await using r = await routerFor(way, given);
      const tunnel = await open(way, r, given);
      const [ending, lasting] = [tunnel[first], tunnel[other]];
      ending.socket.end("that was all");
      await eventually(() => lasting.state.ended, 10_000, () => JSON.stringify(lasting.state));
      expect(lasting.heard().toString()).toBe("that was all");
      for (let n = 0; n < 20; n += 1) {
        lasting.socket.write(Buffer.alloc(50_000, n));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await heard(ending, 1_000_000);
      lasting.socket.end();
      await eventually(() => ending.state.ended && r.router.inFlight === 0, 10_000, () => JSON.stringify([ending.state, r.router.inFlight]));
      expect([ending.state.failed, lasting.state.failed, ending.count()]).toEqual([undefined, undefined, 1_000_000]);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ status: 101, bytesIn: first === "client" ? 12 : 1_000_000, bytesOut: first === "client" ? 1_000_000 : 12 });
    });

    test(`the ${first} breaks off: the ${other} hears of it, and does not take it for an end where that can be told`, async () => {
      await using given = await app({ secure: way.secureApp });
      await using r = await routerFor(way, given);
      const tunnel = await open(way, r, given);
      tunnel[first].socket.write("begun and not");
      await heard(tunnel[other], 13);
      breakOff(tunnel[first].socket);
      const { socket, state } = tunnel[other];
      // What breaks is told of plain connections, and can be told to these and over HTTP/2; everywhere else it is an end like another.
      const plain = { client: !way.front.secure, app: !way.secureApp };
      const tells = first === "app" ? plain.app && (plain.client || way.front.http2) : plain.client && plain.app && !way.front.http2;
      await eventually(() => state.failed !== undefined || (!tells && state.ended), 10_000, () => JSON.stringify(state));
      socket.end();
      await eventually(() => r.router.inFlight === 0 && r.records.length === 1, 10_000);
    });
  }

  test("one side has ended and the other is silent: the tunnel does not stand for ever", async () => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given, { clientStallMs: 300 });
    const [one, two] = [await open(way, r, given), await open(way, r, given)];
    one.client.socket.end();
    two.app.socket.end();
    await eventually(() => r.router.inFlight === 0 && r.records.length === 2, 10_000);
    expect([one.app.state.ended, two.client.state.ended]).toEqual([true, true]);
    // Silence alone is none: both sides are still there.
    const quiet = await open(way, r, given);
    await new Promise((resolve) => setTimeout(resolve, 700));
    quiet.client.socket.write("still here");
    await heard(quiet.app, 10);
    leave(quiet);
  });
});

/** Without an end, as a process dies that has not read everything. */
function breakOff(socket: { close?: (code: number) => void; resetAndDestroy?: () => unknown; destroy: () => unknown }): void {
  if (socket.close !== undefined) socket.close(8);
  else if (socket.resetAndDestroy !== undefined && !("encrypted" in socket)) socket.resetAndDestroy();
  else socket.destroy();
}
