/** Asked wrongly: exit code 2, and a hint where help is. */
export class Misuse extends Error {}

/** It did not work, and this text says all there is to say: exit code 1. */
export class Failure extends Error {}

/** Milliseconds of `250`, `250ms`, `10s`, `2m` or `1h`. @throws Misuse */
export function milliseconds(text: string, flag: string): number {
  const [, number, unit = "ms"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit] ?? 1);
  if (!Number.isFinite(ms) || ms > 2_147_483_647) throw new Misuse(`--${flag} takes a time such as 500ms, 10s or 2m, not "${text}"`);
  return ms;
}

/** @throws Misuse */
export function wholeNumber(text: string, flag: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || !Number.isSafeInteger(number)) throw new Misuse(`--${flag} takes a number from 1 on, not "${text}"`);
  return number;
}

/** The name that was probably meant, if one is near. */
export function nearest(given: string, names: readonly string[]): string | undefined {
  const [best] = names.map((name) => ({ name, away: name.startsWith(given) ? 0 : distance(given, name) })).sort((a, b) => a.away - b.away);
  return best && best.away <= Math.max(2, Math.floor(given.length / 3)) ? best.name : undefined;
}

/** Letters to insert, remove, replace or swap (optimal string alignment). */
export function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    const above = rows[i - 1] as number[];
    for (let j = 1; j <= b.length; j++) {
      let least = Math.min((above[j] as number) + 1, (row[j - 1] as number) + 1, (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, ((rows[i - 2] as number[])[j - 2] as number) + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return (rows[a.length] as number[])[b.length] as number;
}
