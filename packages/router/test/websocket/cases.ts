import { deflateRawSync } from "node:zlib";
import { closing, opcodes, type Frame } from "./frames.ts";

const { continuation, text, binary, close, ping, pong } = opcodes;
const words = (what: string): Buffer => Buffer.from(what);
const bytes = (length: number, value = 0x2a): Buffer => Buffer.alloc(length, value);
const one = (frame: Frame): Frame[] => [frame];

/** A message of so many parts, with what stands between them. */
const inParts = (count: number, between: readonly Frame[] = [], opcode: number = text): Frame[] => Array.from({ length: count }, (_, n) => [
  ...(n === 0 ? [] : between), { opcode: n === 0 ? opcode : continuation, fin: n === count - 1, payload: words(`part ${n};`) },
]).flat();

/** Without the four bytes that stand for an empty block (RFC 7692, 7.2.1). */
const squeezed = (payload: Buffer): Buffer => deflateRawSync(payload, { finishFlush: 2 }).subarray(0, -4);

/** RFC 6455, 7.4.1, and what the registry has added since. 1005, 1006 and 1015 may not be sent, but who sends them shall be heard by the other side. */
export const namedCodes = [1_000, 1_001, 1_002, 1_003, 1_004, 1_005, 1_006, 1_007, 1_008, 1_009, 1_010, 1_011, 1_012, 1_013, 1_014, 1_015];

/** What passes a tunnel, in groups. The router is no judge: what may not be sent is for the other side to refuse. */
export const groups: Readonly<Record<string, Readonly<Record<string, readonly Frame[]>>>> = {
  "messages of every length field": Object.fromEntries([0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537].flatMap((length) => [
    [`text of ${length}`, one({ opcode: text, payload: bytes(length) })], [`binary of ${length}`, one({ opcode: binary, payload: bytes(length, 0xfe) })],
  ])),
  "pings and pongs": {
    ...Object.fromEntries([0, 1, 124, 125].flatMap((length) => [[`ping of ${length}`, one({ opcode: ping, payload: bytes(length, 0xff) })], [`pong of ${length}, unasked`, one({ opcode: pong, payload: bytes(length, 0) })]])),
    "ten pings": Array.from({ length: 10 }, (_, n) => ({ opcode: ping, payload: words(`${n}`) })),
    "a ping after an unasked pong": [{ opcode: pong, payload: words("who?") }, { opcode: ping, payload: words("you") }],
  },
  fragments: {
    "two parts": inParts(2), "fifty parts": inParts(50), "binary parts": inParts(3, [], binary),
    "empty parts": [{ opcode: text, fin: false }, { opcode: continuation, fin: false }, { opcode: continuation }],
    "a ping between": inParts(2, [{ opcode: ping, payload: bytes(125) }]), "pings and pongs between": inParts(12, [{ opcode: ping }, { opcode: pong, payload: words("p") }]),
    "a close between": [...inParts(3).slice(0, 2), { opcode: close, payload: closing(1_000) }],
    "a character in two parts": [{ opcode: text, fin: false, payload: Buffer.from([0xe2, 0x82]) }, { opcode: continuation, payload: Buffer.from([0xac]) }],
  },
  "text in every kind of UTF-8": {
    "two to four bytes": one({ opcode: text, payload: words("κόσμε \u{1f30d} \u{10ffff}") }), "zero bytes": one({ opcode: text, payload: bytes(3, 0) }),
  },
  "closes with a code": {
    ...Object.fromEntries(namedCodes.map((code) => [`${code}`, one({ opcode: close, payload: closing(code) })])),
    ...Object.fromEntries([3_000, 3_999, 4_000, 4_999].map((code) => [`${code}, with a reason`, one({ opcode: close, payload: closing(code, `reason ${code} ✓`) })])),
    "without a code": one({ opcode: close }), "with the longest reason": one({ opcode: close, payload: closing(1_000, "r".repeat(123)) }),
  },
  "closes that are wrong": {
    ...Object.fromEntries([0, 1, 999, 1_016, 1_100, 2_000, 2_999, 5_000, 65_535].map((code) => [`code ${code}`, one({ opcode: close, payload: closing(code) })])),
    "half a code": one({ opcode: close, payload: bytes(1) }), "a reason that is too long": one({ opcode: close, payload: closing(1_000, "r".repeat(124)) }),
    "a reason that is no UTF-8": one({ opcode: close, payload: closing(1_000, Buffer.from([0xff, 0xfe])) }),
    "more behind it": [{ opcode: close, payload: closing(1_000) }, { opcode: text, payload: words("late") }, { opcode: ping }, { opcode: close, payload: closing(1_001) }],
  },
  "frames that nobody may send": {
    ...Object.fromEntries([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`opcode ${opcode}`, one({ opcode, payload: words("?") })])),
    ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map((rsv) => [`reserved bits ${rsv}`, one({ opcode: text, rsv, payload: words("?") })])),
    "a ping of 126": one({ opcode: ping, payload: bytes(126) }), "a ping in parts": [{ opcode: ping, fin: false, payload: words("a") }, { opcode: continuation, payload: words("b") }],
    "a continuation of nothing": one({ opcode: continuation, payload: words("?") }), "a message within a message": [{ opcode: text, fin: false, payload: words("a") }, { opcode: text, payload: words("b") }],
    "text that is no UTF-8": one({ opcode: text, payload: Buffer.from([0xed, 0xa0, 0x80, 0xff, 0xc0, 0xaf]) }),
    "masked where it may not be": one({ opcode: text, payload: words("masked"), masked: true }), "unmasked where it may not be": one({ opcode: text, payload: words("not masked"), masked: false }),
    "a length in two bytes for one": one({ opcode: text, payload: words("short"), lengthBytes: 2 }), "a length in eight bytes for one": one({ opcode: text, payload: words("short"), lengthBytes: 8 }),
    "a length beyond all numbers": one({ opcode: binary, payload: words("few"), claimedLength: 2n ** 64n - 1n }), "a length of which little comes": one({ opcode: binary, payload: words("few"), claimedLength: 100_000n }),
  },
  "compressed frames": {
    message: one({ opcode: text, rsv: 4, payload: squeezed(words("again and again ".repeat(200))) }), "a block that is stored": one({ opcode: binary, rsv: 4, payload: Buffer.from([0, 3, 0, 0xfc, 0xff, 1, 2, 3]) }),
    "in parts, of which the first says so": [{ opcode: text, rsv: 4, fin: false, payload: squeezed(words("x".repeat(500))).subarray(0, 5) }, { opcode: ping }, { opcode: continuation, payload: squeezed(words("x".repeat(500))).subarray(5) }],
    "what cannot be unpacked": one({ opcode: text, rsv: 4, payload: bytes(20, 0xff) }),
  },
  "many at once": { "five thousand": Array.from({ length: 5_000 }, (_, n) => ({ opcode: n % 7 === 0 ? ping : text, payload: words(`${n}`) })) },
};
