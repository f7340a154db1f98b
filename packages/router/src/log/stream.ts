import type { AccessLogSink } from "../proxy/access-log.ts";
import type { LogTarget } from "./target.ts";

/**
 * Lines to a stream of this process, such as `process.stdout`. While it holds more than `maxBacklog` (default 1 048 576) that nobody takes,
 * lines are dropped. The stream stays open at the end.
 */
export function logToStream(stream: AccessLogSink, { name = "stream", maxBacklog = 1_048_576 }: { name?: string; maxBacklog?: number } = {}): LogTarget {
  let writtenLines = 0;
  let droppedLines = 0;
  return {
    name,
    put(lines, count) {
      if ((stream.writableLength ?? 0) > maxBacklog) {
        droppedLines += count;
        return;
      }
      try {
        stream.write(lines);
        writtenLines += count;
      } catch {
        droppedLines += count;
      }
    },
    get writtenLines() { return writtenLines; },
    get droppedLines() { return droppedLines; },
    async [Symbol.asyncDispose]() {},
  };
}
