import { accessLogLine, type AccessLogOptions, type AccessLogSink } from "../proxy/access-log.ts";
import type { RequestRecord } from "../proxy/record.ts";
import type { Logger } from "../ports.ts";
import { accessLogJson } from "./json.ts";
import type { LogTarget, RecordTarget } from "./target.ts";

export type AccessLogOutput = AccessLogSink | LogTarget | RecordTarget;

/** The log of requests: never waits, and never makes a request wait. */
export interface AccessLog {
  add(record: RequestRecord): void;
  /** A line about something else than a request, with its newline. */
  addLine(text: string): void;
  /** Hands over what has been gathered in this turn of the event loop. */
  flush(): void;
  /** Lines nobody took, of all outputs. */
  readonly droppedLines: number;
  /** Lines gathered and not yet handed over. */
  readonly pendingLines: number;
}

/** Text kept by a plain stream that does not take it; beyond that lines are dropped. */
const maxStreamBacklogBytes = 1_048_576;
/** Lines of one turn of the event loop; so many in one turn are more than any output takes. */
const maxTurnLines = 65_536;

/** Writes to each output: to targets in batches, one per turn of the event loop; to plain streams line by line. */
export function createAccessLog(outputs: readonly AccessLogOutput[], format: AccessLogOptions, log: Logger): AccessLog {
  const line = format.kind === "json" ? accessLogJson : accessLogLine;
  const targets = outputs.filter((output): output is LogTarget => "put" in output);
  // Streams of Node have a `take` of their own: what can write is a stream.
  const streams = outputs.filter((output): output is AccessLogSink => "write" in output);
  const takers = outputs.filter((output): output is RecordTarget => "take" in output && !("write" in output));
  let batch: string[] = [];
  let dropped = 0;

  function flush(): void {
    if (batch.length === 0) return;
    const lines = batch.join("");
    const count = batch.length;
    batch = [];
    for (const target of targets) target.put(lines, count);
  }

  function toStream(stream: AccessLogSink, text: string): void {
    if ((stream.writableLength ?? 0) > maxStreamBacklogBytes) {
      dropped += 1;
      return;
    }
    try { stream.write(text); } catch (cause) {
      dropped += 1;
      log.error("router.access-log.failed", { error: String(cause) });
    }
  }

  function addLine(text: string): void {
    for (const stream of streams) toStream(stream, text);
    if (targets.length === 0) return;
    if (batch.length >= maxTurnLines) {
      dropped += targets.length;
      return;
    }
    if (batch.length === 0) setImmediate(flush);
    batch.push(text);
  }

  return {
    addLine,
    add(record) {
      const text = line(record, format);
      for (const taker of takers) taker.take(record, text);
      addLine(text);
    },
    flush,
    get droppedLines() { return [...targets, ...takers].reduce((sum, { droppedLines }) => sum + droppedLines, dropped); },
    get pendingLines() { return batch.length; },
  };
}
