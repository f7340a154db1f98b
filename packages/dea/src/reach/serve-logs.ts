import type { IncomingMessage, ServerResponse } from "node:http";
import type { Instance } from "../instance/instance.ts";
import type { LogLine } from "../instance/log-buffer.ts";
import { refuse } from "./answers.ts";
import { drained } from "./drained.ts";
import type { PathServing } from "./serve-path.ts";

/** A line in JSON; the time as text, because it is larger than a number of JSON holds exactly. */
export const lineJson = ({ stream, text, timestampNs, sequence }: LogLine): string =>
  JSON.stringify({ sequence, stream, text, timestamp_ns: String(timestampNs) });

const wholeNumber = (text: string | null | undefined): number | undefined => (text != null && /^\d{1,16}$/.test(text) ? Number(text) : undefined);

/**
 * An instance's lines as JSON lines, or as events where the reader takes `text/event-stream`: their ids are sequence numbers,
 * so a browser that comes back goes on where it was. `after=N` begins behind line N, `tail=N` with the last N, `follow=1` stays.
 * The reader that is too slow loses lines and is told how many; nobody waits for it.
 */
export async function serveLogs(request: IncomingMessage, response: ServerResponse, { instance, params, serving }: { instance: Instance; params: URLSearchParams; serving: PathServing }): Promise<void> {
  const asEvents = (request.headers.accept ?? "").includes("text/event-stream");
  const after = wholeNumber(request.headers["last-event-id"] as string | undefined) ?? wholeNumber(params.get("after"));
  const tail = wholeNumber(params.get("tail"));
  const follow = asEvents || ["", "1", "true"].includes(params.get("follow") ?? "0");
  using place = serving.enter();
  if (!place) return refuse(response, "busy");
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.writeHead(200, { "content-type": asEvents ? "text/event-stream" : "application/x-ndjson", "cache-control": "no-store", "x-content-type-options": "nosniff" });
  response.flushHeaders();
  if (request.method === "HEAD") return void response.end();
  const signal = AbortSignal.any([gone.signal, serving.signal]);
  const lines = instance.logs({ signal, follow, ...(after === undefined ? {} : { after }), ...(tail === undefined ? {} : { tail }) });
  for await (const line of lines) {
    const text = asEvents ? `id: ${line.sequence}\ndata: ${lineJson(line)}\n\n` : `${lineJson(line)}\n`;
    if (!response.write(text)) await drained(response, signal);
  }
  // An end that a client of events takes for good: without it, it would come back for ever.
  if (asEvents && !signal.aborted) response.write("event: end\ndata: {}\n\n");
  response.end();
}
