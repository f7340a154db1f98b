import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

export interface LinkSignerOptions {
  /** Key of the signatures. Default: random, so that links end with this process, as those of the original do. */
  key?: string | Uint8Array;
  now(): number;
}

/** How a link was found: signed by us and not too old, or why not. */
export type Verdict = "good" | "bad" | "expired";

export interface LinkSigner {
  /** `path?query` with `timestamp` and `hmac` added. All parameters given here are signed. */
  sign(path: string, params?: Readonly<Record<string, string>>): string;
  /**
   * Of the parameters only those that `isSigned` names count; a link with one of them twice is bad. The signature is
   * looked at first, the age then; a time in the future passes: only who has the key could write it.
   */
  verify(path: string, params: URLSearchParams, maxAgeMs: number, isSigned: (name: string) => boolean): Verdict;
}

/** Links as the first executors signed them: HMAC-SHA512 in hex over `path?sorted query` (dea_ng `DirectoryServerV2`). */
export function createLinkSigner({ key = randomBytes(32), now }: LinkSignerOptions): LinkSigner {
  const signature = (path: string, pairs: readonly (readonly [string, string])[]): string => {
    const sorted = [...pairs].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return createHmac("sha512", key).update(`${path}?${new URLSearchParams(sorted as [string, string][]).toString()}`).digest("hex");
  };
  return {
    sign(path, params = {}) {
      const pairs = Object.entries({ ...params, timestamp: String(Math.floor(now() / 1_000)) });
      const query = new URLSearchParams([...pairs, ["hmac", signature(path, pairs)]].sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)) as [string, string][]);
      return `${path}?${query.toString()}`;
    },
    verify(path, params, maxAgeMs, isSigned) {
      const pairs = [...params].filter(([name]) => name !== "hmac" && (name === "timestamp" || isSigned(name)));
      const given = params.getAll("hmac");
      const timestamp = params.get("timestamp") ?? "";
      if (given.length !== 1 || new Set(pairs.map(([name]) => name)).size !== pairs.length) return "bad";
      if (!isEqual(given[0] ?? "", signature(path, pairs)) || !/^\d{1,12}$/.test(timestamp)) return "bad";
      return Math.floor(now() / 1_000) - Number(timestamp) > maxAgeMs / 1_000 ? "expired" : "good";
    },
  };
}

/** In a time that tells nothing of where they differ. */
export function isEqual(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
