import fc from "fast-check";
import { pack } from "tar-stream";
import { describe, expect, test } from "vitest";
import { tarReader, type TarHeader } from "../src/droplet/tar-reader.ts";

/** What a reader makes of a tar that comes in pieces of these sizes. */
function read(tar: Uint8Array, sizes: readonly number[]): { header: TarHeader; body: string }[] {
  const found: { header: TarHeader; body: string }[] = [];
  const bodies: Buffer[] = [];
  const reader = tarReader({
    entry: (header) => void (found.push({ header, body: "" }), bodies.splice(0)),
    body: (piece) => void bodies.push(Buffer.from(piece)),
    entryEnd: () => void ((found.at(-1) as { body: string }).body = Buffer.concat(bodies).toString("latin1")),
  });
  let at = 0;
  for (let turn = 0; at < tar.length; turn++) {
    const size = sizes[turn % sizes.length] ?? tar.length;
    reader.push(tar.subarray(at, at + size));
    at += size;
  }
  reader.end();
  return found;
}

async function tarOf(entries: readonly { name: string; body: string; mode: number; mtime: number }[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, body, mode, mtime } of entries) tar.entry({ name, mode, mtime: new Date(mtime * 1000) }, body);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const name = fc.stringMatching(/^[a-zé]{1,60}(\/[a-z.é]{1,90}){0,4}[a-z]$/u);
const entry = fc.record({ name, body: fc.string({ maxLength: 2_000 }).map((text) => Buffer.from(text).toString("latin1")), mode: fc.integer({ min: 1, max: 0o777 }), mtime: fc.integer({ min: 1, max: 2 ** 31 - 1 }) });

test("what was packed is read, in whatever pieces it comes", async () => {
  await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 1_500 }), { minLength: 1, maxLength: 5 }), async (entries, sizes) => {
    const tar = await tarOf(entries);
    const found = read(tar, sizes);
    expect(found.map(({ header, body }) => ({ name: header.name, mode: header.mode, mtime: header.mtime, body: Buffer.from(body, "latin1").toString() }))).toEqual(entries);
  }), { numRuns: 60 });
});

describe("damage", () => {
  test("any single byte of a header that changes is noticed", async () => {
    const tar = await tarOf([{ name: "app/x", body: "", mode: 0o644, mtime: 1 }]);
    fc.assert(fc.property(fc.integer({ min: 0, max: 511 }), fc.integer({ min: 1, max: 255 }), (at, add) => {
      const damaged = Buffer.from(tar);
      damaged[at] = ((damaged[at] ?? 0) + add) % 256;
      // Of its own sum a byte may be a filler.
      if (at >= 148 && at < 156) return;
      expect(() => read(damaged, [tar.length])).toThrow(/tar/);
    }), { numRuns: 200 });
  });

  test.each([["in a header", 300], ["in a body", 600], ["in the rest of a block", 900]])("a tar that ends %s", async (_where, bytes) => {
    const tar = await tarOf([{ name: "app/x", body: "b".repeat(200), mode: 0o644, mtime: 1 }]);
    expect(() => read(tar.subarray(0, bytes), [bytes])).toThrow("it ends in the middle");
  });

  test("after two empty blocks nothing counts", async () => {
    const tar = await tarOf([{ name: "app/x", body: "b", mode: 0o644, mtime: 1 }]);
    expect(read(Buffer.concat([tar, Buffer.from("anything at all".repeat(100))]), [512])).toHaveLength(1);
  });
});
