/** One frame of a WebSocket (RFC 6455, 5.2), also one that nobody may send. */
export interface Frame {
  readonly opcode: number;
  readonly payload?: Buffer;
  /** Default true. */
  readonly fin?: boolean;
  /** The reserved bits, 0 to 7; 4 says compressed (RFC 7692). Default 0. */
  readonly rsv?: number;
  /** Default: as the side has to. */
  readonly masked?: boolean;
  /** How the length is written. Default: as short as it goes. */
  readonly lengthBytes?: 0 | 2 | 8;
  /** A length that is not the payload's. */
  readonly claimedLength?: bigint;
}

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** The bytes of a frame as a client (masked) or an app (not) sends it. */
export function encode({ opcode, payload = Buffer.alloc(0), fin = true, rsv = 0, masked, lengthBytes, claimedLength }: Frame, side: "client" | "app"): Buffer {
  const hides = masked ?? side === "client";
  const length = claimedLength ?? BigInt(payload.length);
  const width = lengthBytes ?? (length < 126n ? 0 : length < 65_536n ? 2 : 8);
  const head = Buffer.alloc(2 + width);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (hides ? 0x80 : 0) | (width === 0 ? Number(length) : width === 2 ? 126 : 127);
  if (width === 2) head.writeUInt16BE(Number(length), 2);
  if (width === 8) head.writeBigUInt64BE(length, 2);
  return Buffer.concat(hides ? [head, mask, unmask(payload, mask)] : [head, payload]);
}

export const encodeAll = (frames: readonly Frame[], side: "client" | "app"): Buffer => Buffer.concat(frames.map((frame) => encode(frame, side)));

function unmask(payload: Buffer, key: Buffer): Buffer {
  const out = Buffer.allocUnsafe(payload.length);
  for (let at = 0; at < payload.length; at += 1) out[at] = (payload[at] as number) ^ (key[at & 3] as number);
  return out;
}

/** The whole frames at the beginning of these bytes. */
export function decode(bytes: Buffer): Required<Pick<Frame, "opcode" | "payload" | "fin" | "rsv" | "masked">>[] {
  const out = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const [first, second] = [bytes[at] as number, bytes[at + 1] as number];
    const short = second & 127;
    const width = short === 126 ? 2 : short === 127 ? 8 : 0;
    const masked = (second & 128) !== 0;
    const from = at + 2 + width + (masked ? 4 : 0);
    if (from > bytes.length) break;
    const length = width === 2 ? bytes.readUInt16BE(at + 2) : width === 8 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    if (from + length > bytes.length) break;
    const payload = bytes.subarray(from, from + length);
    out.push({ opcode: first & 15, fin: (first & 128) !== 0, rsv: (first >> 4) & 7, masked, payload: masked ? unmask(payload, bytes.subarray(from - 4, from)) : payload });
    at = from + length;
  }
  return out;
}

/** What a close frame carries (RFC 6455, 5.5.1). */
export function closing(code?: number, reason: string | Buffer = ""): Buffer {
  if (code === undefined) return Buffer.alloc(0);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return Buffer.concat([head, Buffer.from(reason as string)]);
}
