import { knownKeys, type KeyReport } from "../config/read.ts";

type Line = Pick<KeyReport, "key" | "why"> & { readonly state: string };

/** Every key a gorouter's configuration may have, and what becomes of it here. */
export const keyLines = (): Line[] => knownKeys.map(({ key, honoured, why }) => ({ key, state: honoured ? "honoured" : "not honoured", why }));

/** As columns for people, or one JSON object per line. */
export function listing(lines: readonly Line[], json: boolean): string {
  if (json) return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  const wide = (of: (line: Line) => string): number => Math.max(0, ...lines.map((line) => of(line).length));
  const [keyWidth, stateWidth] = [wide(({ key }) => key), wide(({ state }) => state)];
  return lines.map(({ key, state, why }) => `${key.padEnd(keyWidth)}  ${state.padEnd(stateWidth)}  ${why}`.trimEnd() + "\n").join("");
}
