import type { Logger } from "../ports.ts";

/** How many lines of each level were logged; `/varz` shows it as `log_counts`, as gorouter does. */
export type LogCounts = Readonly<Record<"debug" | "info" | "warn" | "error", number>>;

/** The same logger, counting on the way. */
export function countLogs(log: Logger): { readonly log: Required<Logger>; readonly counts: LogCounts } {
  const counts = { debug: 0, info: 0, warn: 0, error: 0 };
  const counting = (level: keyof LogCounts) => (event: string, data?: object): void => {
    counts[level]++;
    log[level]?.(event, data);
  };
  return { counts, log: { debug: counting("debug"), info: counting("info"), warn: counting("warn"), error: counting("error") } };
}
