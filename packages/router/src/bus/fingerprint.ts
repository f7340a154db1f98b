import { randomInt } from "node:crypto";
import { mixed } from "../hash.ts";

/** 64 bits that stand for a message, as two numbers of 32; `high` is never 0. */
export interface Fingerprint {
  readonly low: number;
  readonly high: number;
}

/**
 * Gives the fingerprint of bytes, always in the same object. Two messages have the same one once in 2^64 times, and the
 * seeds keep such pairs from being made on purpose. No digest: some tenths of a microsecond are all the time there is.
 */
export function createFingerprints(): (bytes: Uint8Array) => Fingerprint {
  const lowSeed = randomInt(0x7fffffff);
  const highSeed = randomInt(0x7fffffff);
  const taken = { low: 0, high: 0 };

  return (bytes) => {
    const { length } = bytes;
    let low = lowSeed ^ length;
    let high = highSeed + length | 0;
    const words = length & ~3;
    for (let at = 0; at < words; at += 4) {
      const word = (bytes[at] as number) | (bytes[at + 1] as number) << 8 | (bytes[at + 2] as number) << 16 | (bytes[at + 3] as number) << 24;
      low = Math.imul(low ^ word, 0x9e3779b1);
      low = low << 13 | low >>> 19;
      high = Math.imul(high + word | 0, 0x85ebca77);
      high ^= high >>> 15;
    }
    for (let at = words; at < length; at += 1) {
      low = Math.imul(low ^ (bytes[at] as number), 0x9e3779b1);
      high = Math.imul(high + (bytes[at] as number) | 0, 0x85ebca77);
      high ^= high >>> 15;
    }
    taken.low = mixed(low);
    taken.high = mixed(high) || 1;
    return taken;
  };
}
