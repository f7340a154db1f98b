const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;

/** Puts text into a colour, or leaves it as it is. Colour comes last: it must not be measured or cut. */
export type Paint = (color: keyof typeof codes, text: string) => string;

export const plain: Paint = (_, text) => text;
export const colored: Paint = (color, text) => (text === "" ? text : `\x1b[${codes[color]}m${text}\x1b[0m`);

/** `auto`: on a terminal that can, unless NO_COLOR is set (no-color.org). */
export function painter(when: "auto" | "always" | "never", { isTty, env }: { isTty: boolean; env: NodeJS.ProcessEnv }): Paint {
  if (when !== "auto") return when === "always" ? colored : plain;
  return isTty && !env["NO_COLOR"] && env["TERM"] !== "dumb" ? colored : plain;
}
