import { join } from "node:path";
import type { Bus } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages";
import type { MayRead } from "./access.ts";
import type { IncomingEnvelope } from "./envelope.ts";
import { openJournal, type Journal } from "./journal.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";
import { startLogServer, type LogServer } from "./server.ts";
import { createLogStore, type LogStore } from "./store.ts";

export interface LogsOptions {
  bus: Bus;
  mayRead: MayRead;
  /** Lines are written to `logs` below it and are there again after a restart. Default: memory only. */
  dataDir?: string;
  /** Kept per source. Default 2 MiB. */
  maxBytesPerSource?: number;
  /** Kept in all. Default 32 MiB in memory; twice that on disk. */
  maxBytes?: number;
  /** Default `127.0.0.1`. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  logger?: Logger;
  clock?: Clock;
}

export interface Logs extends LogServer {
  readonly store: LogStore;
  /** Resolves when the lines from before the restart are back; reading waits for it by itself. */
  readonly ready: Promise<void>;
  /** Adds envelopes without the bus, such as readings of a part in the same process. */
  append(envelopes: readonly IncomingEnvelope[]): void;
}

/** What may wait for the old lines to be read back. */
const maxWaiting = 20_000;

/** The log store: takes `opencf.log` from the bus, keeps a bounded amount, answers the log-cache API. */
export async function startLogs(options: LogsOptions): Promise<Logs> {
  const { bus, mayRead, dataDir, maxBytesPerSource, maxBytes = 32 * 1024 ** 2, host, port, logger = silentLogger, clock = systemClock } = options;
  const store = createLogStore({ maxBytes, clock, ...(maxBytesPerSource !== undefined && { maxBytesPerSource }) });
  let journal: Journal | undefined;
  let waiting: IncomingEnvelope[] | undefined = [];

  const append = (envelopes: readonly IncomingEnvelope[]): void => {
    if (!waiting) {
      const kept = store.append(envelopes);
      journal?.append(kept);
    } else if (waiting.length < maxWaiting) waiting.push(...envelopes);
    else logger.warn("logs.dropped-while-restoring", { count: envelopes.length });
  };

  const restore = async (): Promise<void> => {
    try {
      if (dataDir !== undefined)
        journal = await openJournal({
          folder: join(dataDir, "logs"),
          maxBytes: maxBytes * 2,
          snapshot: () => store.all(),
          restore: (sourceId, envelope) => store.restore(sourceId, envelope),
          logger,
        });
    } catch (error) {
      logger.error("logs.journal-unavailable", { cause: (error as Error).message });
    }
    const waited = waiting ?? [];
    waiting = undefined;
    append(waited);
  };

  const ready = restore();
  const server = await startLogServer({ store, mayRead, ready, logger, clock, ...(host !== undefined && { host }), ...(port !== undefined && { port }) });
  const intake = bus.subscribe(logEnvelopes, ({ body }) => append(body.envelopes));
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await intake[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await ready;
    await journal?.[Symbol.asyncDispose]();
  };
  return { host: server.host, port: server.port, url: server.url, store, ready, append, [Symbol.asyncDispose]: () => (closing ??= close()) };
}
