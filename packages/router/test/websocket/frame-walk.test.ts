import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameWalk } from "../../src/proxy/frame-walk.ts";
import { groups } from "./cases.ts";
import { encode, type Frame } from "./frames.ts";

const some = fc.record({
  opcode: fc.integer({ min: 0, max: 15 }), fin: fc.boolean(), rsv: fc.integer({ min: 0, max: 7 }), masked: fc.boolean(), lengthBytes: fc.constantFrom(2 as const, 8 as const),
  payload: fc.oneof(fc.integer({ min: 0, max: 130 }), fc.integer({ min: 65_530, max: 65_540 })).map((length) => Buffer.alloc(length, 0x81)),
}).map((frame) => (frame.payload.length > 65_535 ? { ...frame, lengthBytes: 8 as const } : frame));

test("the places between frames are found, however the bytes are cut", () => {
  fc.assert(fc.property(fc.array(some, { minLength: 1, maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 }), (frames, cuts) => {
    const bytes = frames.map((frame) => encode(frame, "app"));
    const places = new Set<number>();
    bytes.reduce((at, { length }) => (places.add(at + length), at + length), 0);
    const all = Buffer.concat(bytes);
    const walk = new FrameWalk();
    for (let at = 0, n = 0; at < all.length; n += 1) {
      const piece = all.subarray(at, at + (cuts[n % cuts.length] as number));
      const first = walk.push(piece);
      const within = [...places].filter((place) => place > at && place <= at + piece.length);
      if (first !== (within.length === 0 ? -1 : Math.min(...within) - at)) throw new Error(`at ${at}: ${first}`);
      at += piece.length;
      if (walk.between !== places.has(at)) throw new Error(`between at ${at}`);
    }
  }), { numRuns: 100 });
});

test("a frame that claims more than comes is never over; one that nobody may send is a frame like others", () => {
  const claims = (frame: Frame): boolean => frame.claimedLength !== undefined;
  for (const frames of Object.values(groups).flatMap((group) => Object.values(group))) {
    const walk = new FrameWalk();
    for (const frame of frames) walk.push(encode(frame, "client"));
    expect(walk.between).toBe(!frames.some(claims));
  }
});
