import { describe, expect, test } from "vitest";
import { httpBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { closing, decode, encode, opcodes, type Frame } from "./frames.ts";
import { app, heard, open, routerFor, ways, type End, type Opened } from "./ways.ts";

const text = (words: string): Frame => ({ opcode: opcodes.text, payload: Buffer.from(words) });
const goodbye = { opcode: opcodes.close, payload: closing(1_001) };
/** Of many pieces on every way. */
const message = { opcode: opcodes.binary, payload: Buffer.alloc(300_001, 7) };
/** What an end has heard, read as frames. */
const frames = (end: End) => decode(end.heard()).map(({ opcode, payload }) => ({ opcode, payload: payload.toString("hex") }));
const last = { opcode: opcodes.close, payload: closing(1_001).toString("hex") };

/** As a client or an app does: who is told to close answers and ends. */
function answers(end: End, side: "client" | "app"): void {
  end.socket.on("end", () => { if (!end.socket.writableEnded) end.socket.end(encode(goodbye, side)); });
}

describe.each(ways)("13.102 a drain and its WebSockets: $name", (way) => {
  test("they serve until the last request is answered; then both sides hear 1001 and a clean end", async () => {
    let finish: (() => void) | undefined;
    await using slow = await httpBackend((_, response) => { response.write("begun"); finish = () => response.end(" done"); });
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given, { drainTimeoutMs: 60_000 });
    r.serve([slow], "slow.example.com");
    const tunnel = await open(way, r, given);
    await using request = await wire(r.port, "GET / HTTP/1.1\r\nHost: slow.example.com\r\n\r\n");
    await request.until("begun");
    const draining = r.router.drain();
    for (const side of ["client", "app"] as const) tunnel[side].socket.write(encode(text(`from ${side}`), side));
    await eventually(() => frames(tunnel.client).length === 1 && frames(tunnel.app).length === 1);
    answers(tunnel.client, "client");
    answers(tunnel.app, "app");
    finish?.();
    await draining;
    await eventually(() => tunnel.client.state.closed && tunnel.app.state.closed, 10_000, () => JSON.stringify([tunnel.client.state, tunnel.app.state]));
    expect(tunnel.client.state).toEqual({ ended: true, failed: undefined, closed: true });
    expect(tunnel.app.state).toEqual({ ended: true, failed: undefined, closed: true });
    expect([frames(tunnel.client).at(-1), frames(tunnel.app).at(-1)]).toEqual([last, last]);
    // As each has to be: masked to the app, and not to the client.
    expect([decode(tunnel.client.heard()).at(-1)?.masked, decode(tunnel.app.heard()).at(-1)?.masked]).toEqual([false, true]);
    expect(r.records.find(({ status }) => status === 101)).toMatchObject({ upgraded: true });
  }, 60_000);

  test("the close stands between frames, never within one, and nobody is reset while he speaks", async () => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    const tunnel = await open(way, r, given);
    const speaking = (["client", "app"] as const).map(async (side) => {
      const { socket, state } = tunnel[side];
      const bytes = encode(message, side);
      let at = 0;
      for (; !state.ended && !state.closed; at = (at + 10_007) % bytes.length) {
        const piece = Buffer.concat([bytes.subarray(at, at + 10_007), bytes.subarray(0, Math.max(0, at + 10_007 - bytes.length))]);
        if (!socket.write(piece)) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), eventually(() => state.ended || state.closed, 20_000)]);
        else await new Promise((resolve) => setImmediate(resolve));
      }
      // As endpoints do, he says his frame to its end (RFC 6455, 5.5.1): within half a one no close could stand.
      socket.end(bytes.subarray(at));
    });
    await heard(tunnel.client, 1_000_000);
    await heard(tunnel.app, 1_000_000);
    await r.router.drain({ timeoutMs: 20_000 });
    await Promise.all(speaking);
    for (const side of ["client", "app"] as const) {
      const { state } = tunnel[side];
      const said = decode(tunnel[side].heard());
      expect([side, state.ended, state.failed, said.at(-1)?.opcode]).toEqual([side, true, undefined, opcodes.close]);
      expect(said.slice(0, -1).every(({ opcode, payload }) => opcode === opcodes.binary && payload.equals(message.payload))).toBe(true);
      // Whole frames, and nothing behind the close.
      const peer = side === "client" ? "app" : "client";
      expect(tunnel[side].count()).toBe((said.length - 1) * encode(message, peer).length + encode(goodbye, peer).length);
    }
  }, 60_000);

  for (const [first, other] of [["client", "app"], ["app", "client"]] as const) {
    test.each([
      { ends: "behind it: the frame is passed on, with the close behind it", upTo: undefined },
      { ends: "within it: what he said is passed on, and no close is put there", upTo: 200_000 },
    ])(`the ${first} hears the close within his frame, and ends $ends`, async ({ upTo }) => {
      await using given = await app({ secure: way.secureApp });
      await using r = await routerFor(way, given);
      const tunnel = await open(way, r, given);
      const bytes = encode(message, first);
      tunnel[first].socket.write(bytes.subarray(0, 100_000));
      await heard(tunnel[other], 100_000);
      tunnel[first].socket.on("end", () => tunnel[first].socket.end(bytes.subarray(100_000, upTo)));
      answers(tunnel[other], other);
      await r.router.drain({ timeoutMs: 20_000 });
      await eventually(() => tunnel.client.state.closed && tunnel.app.state.closed, 10_000);
      expect([tunnel.client.state, tunnel.app.state]).toEqual(Array(2).fill({ ended: true, failed: undefined, closed: true }));
      expect(frames(tunnel[first])).toEqual([last]);
      const said = tunnel[other].heard();
      expect(said.subarray(0, bytes.length).equals(bytes.subarray(0, upTo))).toBe(true);
      expect(decode(said.subarray(bytes.length)).map(({ payload }) => payload.toString("hex"))).toEqual(upTo === undefined ? [last.payload] : []);
    });
  }
});

describe.each(ways.slice(0, 1))("13.102 a drain and those who do not listen", (way) => {
  test("who does not answer holds nobody up for long", async () => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    const tunnels = await Promise.all([open(way, r, given), open(way, r, given), open(way, r, given)]);
    for (const { client } of tunnels) client.socket.pause();
    // Half a frame, of which the rest never comes.
    tunnels[0]?.app.socket.write(encode(text("never said to the end"), "app").subarray(0, 5));
    const begun = Date.now();
    await r.router.drain({ timeoutMs: 30_000 });
    expect(Date.now() - begun).toBeLessThan(15_000);
    expect(r.router.state).toBe("stopped");
    await eventually(() => r.router.inFlight === 0);
  }, 60_000);

  test("another protocol ends without a word that would not be its own", async () => {
    await using given = await app();
    await using r = await routerFor(way, given);
    const tunnel = await open(way, r, given, { headers: { Upgrade: "chess/1" } });
    tunnel.client.socket.write("e2-e4");
    await heard(tunnel.app, 5);
    for (const end of [tunnel.client, tunnel.app]) end.socket.on("end", () => end.socket.end());
    await r.router.drain({ timeoutMs: 20_000 });
    await eventually(() => tunnel.client.state.closed && tunnel.app.state.closed, 10_000);
    expect([tunnel.client.state.failed, tunnel.client.heard().toString(), tunnel.app.state.failed, tunnel.app.heard().toString()]).toEqual([undefined, "", undefined, "e2-e4"]);
  });

  test("a hundred are told one after the other, and all of them in time", async () => {
    await using given = await app();
    await using r = await routerFor(way, given);
    const tunnels: Opened[] = [];
    for (let n = 0; n < 100; n += 1) tunnels.push(await open(way, r, given));
    for (const { client, app: other } of tunnels) { answers(client, "client"); answers(other, "app"); }
    await r.router.drain({ timeoutMs: 20_000 });
    await eventually(() => tunnels.every(({ client, app: other }) => client.state.closed && other.state.closed), 10_000);
    expect(tunnels.every(({ client }) => client.state.failed === undefined && frames(client).at(-1)?.payload === last.payload)).toBe(true);
  }, 60_000);
});
