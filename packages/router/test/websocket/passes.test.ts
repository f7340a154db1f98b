import { describe, expect, test } from "vitest";
import { groups } from "./cases.ts";
import { encodeAll, opcodes, type Frame } from "./frames.ts";
import { app, heard, leave, open, routerFor, ways, type Opened } from "./ways.ts";

/** Sends both ways at once, and looks at what has come. */
async function passes(tunnel: Opened, sent: { readonly client: Buffer; readonly app: Buffer }, piece = Number.POSITIVE_INFINITY): Promise<void> {
  const [before, behind] = [tunnel.app.count(), tunnel.client.count()];
  for (let at = 0; at < Math.max(sent.client.length, sent.app.length); at += piece) {
    for (const side of ["client", "app"] as const) {
      const bytes = sent[side].subarray(at, at + piece);
      if (bytes.length > 0) tunnel[side].socket.write(bytes);
    }
    if (piece === 1) await new Promise((resolve) => setImmediate(resolve));
  }
  await heard(tunnel.app, before + sent.client.length);
  await heard(tunnel.client, behind + sent.app.length);
  expect([tunnel.app.heard().subarray(before).equals(sent.client), tunnel.client.heard().subarray(behind).equals(sent.app)]).toEqual([true, true]);
}

describe.each(ways)("13.66 WebSocket frames: $name", (way) => {
  test.each(Object.keys(groups))("%s pass as they are, both ways", async (group) => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    for (const frames of Object.values(groups[group] ?? {})) {
      const tunnel = await open(way, r, given);
      await passes(tunnel, { client: encodeAll(frames, "client"), app: encodeAll(frames, "app") });
      expect([tunnel.client.state, tunnel.app.state]).toEqual([{ ended: false, failed: undefined, closed: false }, { ended: false, failed: undefined, closed: false }]);
      leave(tunnel);
    }
  }, 120_000);

  test("in pieces of one byte, control frames between fragments and closes included", async () => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    const short = ({ payload }: Frame): boolean => (payload?.length ?? 0) < 40;
    const { "fifty parts": _, ...parted } = groups["fragments"] ?? {};
    const frames = [parted, groups["pings and pongs"] ?? {}, groups["closes with a code"] ?? {}].flatMap((group) => Object.values(group).flat().filter(short).slice(0, 20));
    expect(new Set(frames.map(({ opcode }) => opcode))).toEqual(new Set([opcodes.continuation, opcodes.text, opcodes.binary, opcodes.close, opcodes.ping, opcodes.pong]));
    const tunnel = await open(way, r, given);
    await passes(tunnel, { client: encodeAll(frames, "client"), app: encodeAll(frames, "app") }, 1);
    leave(tunnel);
  }, 60_000);
});
