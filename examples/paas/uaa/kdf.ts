import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { UaaServerError } from "./errors.ts";

/** Cost of scrypt. The default follows the usual advice for passwords (32 MiB, three rounds): about 0.2 s on one core. */
export interface KdfCost {
  N: number;
  r: number;
  p: number;
}

/** Passwords and client secrets: hashed slowly, off the event loop, a few at a time. */
export interface Kdf {
  /** `scrypt$N$r$p$salt$hash`: the cost travels with the hash, so it can be raised later. */
  hash(secret: string): Promise<string>;
  /**
   * Whether the secret fits. Without a hash it works as long and says no: an unknown name takes as long as a wrong password.
   * Those who wait take turns by `lane` (an address, a client), so a flood from one place delays that place.
   * @throws UaaServerError temporarily_unavailable when too many wait already
   */
  verify(secret: string, hash: string | null | undefined, lane?: string): Promise<boolean>;
  /** Whether a hash was made with another cost than today's. */
  outdated(hash: string): boolean;
}

const maxRunning = 2;
const maxWaiting = 1_024;
const maxWaitingPerLane = 128;

export function createKdf({ N, r, p }: KdfCost = { N: 2 ** 15, r: 8, p: 3 }): Kdf {
  let running = 0;
  let waiting = 0;
  const lanes = new Map<string, (() => void)[]>();

  async function turn(lane: string): Promise<Disposable> {
    if (running >= maxRunning) {
      const queue = lanes.get(lane) ?? [];
      if (waiting >= maxWaiting || queue.length >= maxWaitingPerLane)
        throw new UaaServerError("temporarily_unavailable", "Too many logins at the moment, try again later");
      lanes.set(lane, queue);
      waiting += 1;
      await new Promise<void>((resolve) => queue.push(resolve));
    } else running += 1;
    return { [Symbol.dispose]: passOn };
  }

  /** The first of the lane that waits longest; its lane goes to the end of the line. */
  function passOn(): void {
    for (const [lane, queue] of lanes) {
      lanes.delete(lane);
      const next = queue.shift();
      if (!next) continue;
      if (queue.length > 0) lanes.set(lane, queue);
      waiting -= 1;
      return next();
    }
    running -= 1;
  }

  async function derive(secret: string, salt: Buffer, cost: KdfCost, lane = ""): Promise<Buffer> {
    using _turn = await turn(lane);
    // The same secret typed on different systems may come composed or decomposed.
    return await new Promise((resolve, reject) =>
      scrypt(secret.normalize("NFKC"), salt, 32, { ...cost, maxmem: 256 * cost.N * cost.r }, (error, key) => (error ? reject(error) : resolve(key))),
    );
  }

  const nobody = `scrypt$${N}$${r}$${p}$${randomBytes(16).toString("base64url")}$${randomBytes(32).toString("base64url")}`;

  return {
    async hash(secret) {
      const salt = randomBytes(16);
      const key = await derive(secret, salt, { N, r, p });
      return `scrypt$${N}$${r}$${p}$${salt.toString("base64url")}$${key.toString("base64url")}`;
    },
    async verify(secret, hash, lane) {
      const parsed = parse(hash ?? nobody);
      const key = await derive(secret, parsed.salt, parsed.cost, lane);
      return timingSafeEqual(key, parsed.key) && hash !== null && hash !== undefined;
    },
    outdated(hash) {
      const { cost } = parse(hash);
      return cost.N !== N || cost.r !== r || cost.p !== p;
    },
  };
}

function parse(hash: string): { cost: KdfCost; salt: Buffer; key: Buffer } {
  const [name, N, r, p, salt, key] = hash.split("$");
  if (name !== "scrypt" || !salt || !key) throw new Error("unknown form of password hash");
  return { cost: { N: Number(N), r: Number(r), p: Number(p) }, salt: Buffer.from(salt, "base64url"), key: Buffer.from(key, "base64url") };
}
