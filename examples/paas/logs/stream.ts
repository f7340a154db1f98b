import type { ServerResponse } from "node:http";
import { toWire, typeOf, type Stored } from "./envelope.ts";
import type { LogStore, ReadOptions } from "./store.ts";

export interface StreamOptions {
  store: LogStore;
  sourceId: string;
  response: ServerResponse;
  /** What to begin with; without a start only what comes from now on. */
  query: ReadOptions;
  /** Asked every `recheckMs`; throwing ends the stream. */
  recheck: () => Promise<void>;
  recheckMs: number;
  heartbeatMs: number;
}

/** What a slow reader may leave unread before envelopes are dropped for it. */
const maxUnreadBytes = 1024 * 1024;

/**
 * Server-sent events: `id` is the timestamp (a client that reconnects sends it back as `Last-Event-ID`), `data` one batch.
 * A reader that does not keep up gets `event: dropped` with the number of what it missed; the log store never waits for it.
 */
export function streamEnvelopes({ store, sourceId, response, query, recheck, recheckMs, heartbeatMs }: StreamOptions): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" });
  response.write("retry: 1000\n\n");
  let dropped = 0;

  const send = (envelope: Stored): void => {
    if (query.types && !query.types.has(typeOf(envelope))) return;
    if (response.writableLength > maxUnreadBytes) {
      dropped += 1;
      return;
    }
    if (dropped > 0) response.write(`event: dropped\ndata: {"count":${dropped}}\n\n`);
    dropped = 0;
    response.write(`id: ${envelope.timestamp}\ndata: ${JSON.stringify({ batch: [toWire(sourceId, envelope)] })}\n\n`);
  };

  if (query.start !== undefined) for (const envelope of store.read(sourceId, { ...query, limit: Infinity })) send(envelope);
  const listening = store.listen(sourceId, send);
  const heartbeat = setInterval(() => response.write(": still here\n\n"), heartbeatMs);
  const check = setInterval(() => recheck().catch(() => response.end()), recheckMs);
  response.once("close", () => {
    listening[Symbol.dispose]();
    clearInterval(heartbeat);
    clearInterval(check);
  });
}
