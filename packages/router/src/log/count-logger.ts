import type { Logger } from "../ports.ts";

/** The same logger, counting what goes through it by level. */
export function countLogs(log: Logger): { readonly log: Logger; counts(): Readonly<Record<string, number>> } {
  const counts = { debug: 0, info: 0, warn: 0, error: 0 };
  return {
    log: {
      ...(log.debug === undefined ? {} : { debug: (event: string, data?: object) => { counts.debug += 1; log.debug?.(event, data); } }),
      info: (event, data) => { counts.info += 1; log.info(event, data); },
      warn: (event, data) => { counts.warn += 1; log.warn(event, data); },
      error: (event, data) => { counts.error += 1; log.error(event, data); },
    },
    counts: () => ({ ...counts }),
  };
}
