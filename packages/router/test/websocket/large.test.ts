import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { eventually } from "../fixtures/client.ts";
import { encode, encodeAll, opcodes } from "./frames.ts";
import { app, heard, leave, open, routerFor, ways } from "./ways.ts";

const mebibyte = 1_048_576;

/** Bytes in which every place is told from its neighbours, and from the same place a block later. */
function payload(length: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  for (let at = 0; at + 4 <= length; at += 4) out.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
  return out;
}

const messages = [65_536, mebibyte, 16 * mebibyte].map((length) => {
  const frame = { opcode: opcodes.binary, payload: payload(length) };
  return { length, client: encode(frame, "client"), app: encode(frame, "app") };
});

describe.each(ways)("13.66 large frames: $name", (way) => {
  test("of 64 KiB, 1 MiB and 16 MiB, both ways at the same time", async () => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    const tunnel = await open(way, r, given);
    let sent = 0;
    for (const message of messages) {
      tunnel.client.socket.write(message.client);
      tunnel.app.socket.write(message.app);
      await heard(tunnel.app, sent + message.client.length);
      await heard(tunnel.client, sent + message.app.length - (tunnel.app.count() - tunnel.client.count()));
      sent += message.client.length;
    }
    const all = { client: Buffer.concat(messages.map(({ client }) => client)), app: Buffer.concat(messages.map(({ app: one }) => one)) };
    await heard(tunnel.client, all.app.length);
    expect([tunnel.app.heard().equals(all.client), tunnel.client.heard().equals(all.app)]).toEqual([true, true]);
    leave(tunnel);
    await eventually(() => r.records.length === 1, 10_000);
    expect(r.records[0]).toMatchObject({ status: 101, bytesIn: all.client.length, bytesOut: all.app.length });
  }, 120_000);

  test.each(["client", "app"] as const)("a reader that stops holds the %s back, and gets everything afterwards", async (side) => {
    await using given = await app({ secure: way.secureApp });
    await using r = await routerFor(way, given);
    const tunnel = await open(way, r, given);
    const [writer, reader] = side === "client" ? [tunnel.client, tunnel.app] : [tunnel.app, tunnel.client];
    const block = encodeAll([{ opcode: opcodes.binary, payload: payload(65_000) }], side);
    const blocks = 800;
    // Only counted from here on: it would be fifty megabytes.
    reader.socket.removeAllListeners("data");
    reader.socket.pause();
    let [handed, failed] = [0, false];
    const write = async (): Promise<void> => {
      for (; handed < blocks; handed += 1) if (!writer.socket.write(block)) await once(writer.socket, "drain");
    };
    const writing = write().catch(() => { failed = true; });
    let last = -1;
    await eventually(async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const settled = last === handed;
      last = handed;
      return settled;
    }, 30_000);
    expect(handed).toBeLessThan(blocks);
    let [count, wrong] = [0, 0];
    reader.socket.on("data", (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) {
        const from = (count + at) % block.length;
        const length = Math.min(chunk.length - at, block.length - from);
        if (chunk.compare(block, from, from + length, at, at + length) !== 0) wrong += 1;
        at += length;
      }
      count += chunk.length;
    });
    reader.socket.resume();
    await eventually(() => count === blocks * block.length, 60_000, () => `${blocks * block.length} bytes; heard ${count}`);
    await writing;
    expect([wrong, failed]).toEqual([0, false]);
    leave(tunnel);
  }, 120_000);
});
