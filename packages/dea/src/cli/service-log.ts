import { isolationEvent } from "../container/capabilities.ts";
import type { Logger } from "../ports.ts";

/** Events for which the program has sentences. */
const saidInWords: ReadonlySet<string> = new Set([isolationEvent, "joined", "life", "evacuated"]);

type Level = "info" | "warn" | "error";

const valueText = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return /^[\w.:/@%+-]+$/.test(text) ? text : JSON.stringify(text);
};

/** Events for people on standard error, or one JSON object a line on standard output. */
export function serviceLog(json: boolean, now: () => number = Date.now): Logger {
  const write = (level: Level) => (event: string, data: object = {}): void => {
    const at = new Date(now()).toISOString();
    if (json) process.stdout.write(`${JSON.stringify({ at, level, event, ...data })}\n`);
    // What the program says in words of its own is not said twice.
    else if (!saidInWords.has(event)) process.stderr.write(`${at} ${level.padEnd(5)} ${event}${Object.entries(data).map(([name, value]) => ` ${name}=${valueText(value)}`).join("")}\n`);
  };
  return { info: write("info"), warn: write("warn"), error: write("error") };
}
