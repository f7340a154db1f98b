import { Writable } from "node:stream";
import { LineForm } from "../proxy/access-log-form.ts";
import { accessLogLine, type AccessLogOptions, type AccessLogSink } from "../proxy/access-log.ts";
import type { RequestRecord } from "../proxy/record.ts";
import type { Logger } from "../ports.ts";
import { LineBatch } from "./batch.ts";
import { accessLogJson } from "./json.ts";
import type { LogTarget, RecordTarget } from "./target.ts";

export type AccessLogOutput = AccessLogSink | LogTarget | RecordTarget;

/** The log of requests: never waits, and never makes a request wait. */
export interface AccessLog {
  add(record: RequestRecord): void;
  /** A line about something else than a request, with its newline. */
  addLine(text: string): void;
  /** Hands over what has been gathered. */
  flush(): void;
  /** Lines nobody took, of all outputs. */
  readonly droppedLines: number;
  /** Lines gathered and not yet handed over. */
  readonly pendingLines: number;
}

/** How long a line may wait for others: writing each by itself costs more than the request. */
const gatherMs = 20;
/** Text kept by a plain stream that does not take it; beyond that lines are dropped. */
const maxStreamBacklogBytes = 1_048_576;

/** Writes to each output, in batches. */
export function createAccessLog(outputs: readonly AccessLogOutput[], format: AccessLogOptions, log: Logger): AccessLog {
  const line = format.kind === "json" ? accessLogJson : accessLogLine;
  const targets = outputs.filter((output): output is LogTarget => "put" in output);
  // Streams of Node have a `take` of their own: what can write is a stream. Who says how much it holds takes several lines at a time.
  const sinks = outputs.filter((output): output is AccessLogSink => "write" in output);
  const streams = sinks.filter(({ writableLength }) => writableLength !== undefined);
  const plain = sinks.filter(({ writableLength }) => writableLength === undefined);
  const takers = outputs.filter((output): output is RecordTarget => "take" in output && !("write" in output));
  const gathers = streams.length > 0 || targets.length > 0;
  /** Whether nobody has to be given a line by itself. */
  const onlyBytes = format.kind !== "json" && plain.length === 0 && takers.length === 0;
  const batch = new LineBatch();
  let timer: NodeJS.Timeout | undefined;
  let dropped = 0;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (batch.count === 0) return;
    const { count } = batch;
    hand(batch.take(), count);
  }

  function hand(lines: Buffer, count: number): void {
    for (const stream of streams) toStream(stream, stream instanceof Writable && !stream.writableObjectMode ? lines : lines.toString(), count);
    for (const target of targets) target.put(lines, count);
  }

  function toStream(stream: AccessLogSink, lines: Buffer | string, count: number): void {
    if ((stream.writableLength ?? 0) > maxStreamBacklogBytes) {
      dropped += count;
      return;
    }
    try { (stream as { write(lines: Buffer | string): unknown }).write(lines); } catch (cause) {
      dropped += count;
      log.error("router.access-log.failed", { error: String(cause) });
    }
  }

  function addLine(text: string): void {
    for (const sink of plain) toStream(sink, text, 1);
    if (!gathers) return;
    if (!batch.addText(text)) {
      flush();
      // One that fills a batch by itself.
      if (!batch.addText(text)) return hand(Buffer.from(text), 1);
    }
    timer ??= setTimeout(flush, gatherMs);
  }

  return {
    addLine,
    add(record) {
      const form = onlyBytes ? LineForm.of(record, format) : undefined;
      if (form !== undefined && batch.addForm(form, record)) {
        timer ??= setTimeout(flush, gatherMs);
        return;
      }
      const text = line(record, format);
      for (const taker of takers) taker.take(record, text);
      addLine(text);
    },
    flush,
    get droppedLines() { return [...targets, ...takers].reduce((sum, { droppedLines }) => sum + droppedLines, dropped); },
    get pendingLines() { return batch.count; },
  };
}
