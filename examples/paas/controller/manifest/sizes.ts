/**
 * Sizes as an app manifest writes them: a number with one of B, K, KB, M, MB, G, GB, T, TB (any case, powers of 1024).
 * The texts of the problems are those of the Cloud Controller; the command line prints them as they are.
 */
export type SizeProblem = "unit" | "number";

const unitBytes: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Bytes of a size, `undefined` for an absent one, or what is wrong with it. */
export function sizeInBytes(value: unknown): number | undefined | SizeProblem {
  if (value === undefined || value === null) return undefined;
  const text = String(value).trim();
  if (text === "") return undefined;
  if (!/^-?\d+(?:\.\d+)?/.test(text)) return "number";
  const match = /^(-?\d+(?:\.\d+)?)(?:([kmgt])i?b?|(b))$/i.exec(text);
  if (!match) return "unit";
  const bytes = Number(match[1]) * (unitBytes[(match[2] ?? match[3] ?? "b").toLowerCase()] ?? 1);
  return Math.trunc(bytes);
}

/** Whole megabytes of a size, rounded toward zero; `undefined` when it is absent or not a size. */
export function sizeInMegabytes(value: unknown): number | undefined {
  const bytes = sizeInBytes(value);
  return typeof bytes === "number" ? Math.trunc(bytes / 1024 ** 2) : undefined;
}

/** The error text for a size, or `undefined` when it is one. With `unlimited`, the bare words -1 and 0 are allowed. */
export function sizeProblem(value: unknown, name: string, { unlimited = false } = {}): string | undefined {
  if (unlimited && (String(value) === "-1" || String(value) === "0")) return undefined;
  const bytes = sizeInBytes(value);
  if (bytes === "unit") return `${name} must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB`;
  if (bytes === "number") return `${name} is not a number`;
  return undefined;
}

/** A log rate limit in bytes per second: a size, or -1 for no limit, or 0. */
export function logRateInBytes(value: unknown): number | undefined {
  const text = value === undefined || value === null ? "" : String(value).trim();
  if (text === "-1") return -1;
  if (text === "0") return 0;
  const bytes = sizeInBytes(text);
  return typeof bytes === "number" ? bytes : undefined;
}

/** The shortest exact spelling: 1048576 is `1M`, 1536 is `1536B`. */
export function spellBytes(bytes: number): string {
  for (const unit of ["t", "g", "m", "k"]) {
    const size = unitBytes[unit]!;
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit.toUpperCase()}`;
  }
  return `${bytes}B`;
}
