/** One line an app, or the executor about it, said. */
export interface LogLine {
  /** `stdout` and `stderr` of the app; `platform`: the executor's own words. */
  stream: "stdout" | "stderr" | "platform";
  text: string;
  /** Nanoseconds since 1970; strictly rising within an instance, so that no two lines share one. */
  timestampNs: bigint;
  /** Strictly rising within an instance, also over a restart of the executor. A gap means lost lines. */
  sequence: number;
}

export interface LogBufferOptions {
  /** Lines kept for late readers. Default 1 000. */
  maxLines?: number;
  /** Bytes kept for late readers. Default 1 MiB. */
  maxBytes?: number;
  /** Sequence of the first line. */
  firstSequence?: number;
  now: () => number;
}

export interface ReadOptions {
  signal?: AbortSignal;
  /** Lines of the past to begin with. Default: all that are kept. */
  tail?: number;
  /**
   * Sequence number of the last line that was read before: reading goes on with the next one, none twice. Where lines
   * between are no longer kept, a `platform` line says so first. It goes before `tail`.
   */
  after?: number;
  /** False: only what is there. Default true: until the instance has ended. */
  follow?: boolean;
}

export interface LogBuffer {
  append(stream: LogLine["stream"], text: string): LogLine;
  read(options?: ReadOptions): AsyncGenerator<LogLine, void, undefined>;
  /** Last lines of the app itself. */
  tail(count: number): string[];
  counts(): LogCounts;
  /** No more lines will come: readers end after what is there. */
  close(): void;
}

interface Reader {
  queue: LogLine[];
  bytes: number;
  dropped: number;
  wake: () => void;
}

const weight = (line: LogLine): number => line.text.length + 64;

export interface LogCounts {
  /** Lines since this executor looks after the instance. */
  lines: number;
  /** Characters of them. */
  characters: number;
  /** Lines that readers did not get because they were too slow. */
  dropped: number;
}

/**
 * Keeps the last lines and hands them to readers. A reader that is slower than the app loses the oldest
 * lines of its queue and is told how many; it holds up neither the app nor other readers, and its queue is bounded.
 */
export function createLogBuffer(options: LogBufferOptions): LogBuffer {
  const { maxLines = 1_000, maxBytes = 1024 ** 2, firstSequence = 0, now } = options;
  const readers = new Set<Reader>();
  let kept: LogLine[] = [];
  let head = 0;
  let bytes = 0;
  let released = 0;
  let lastNs = 0n;
  let lastTime = Number.NaN;
  let sequence = firstSequence;
  let closed = false;
  let characters = 0;
  let droppedInAll = 0;

  /** Says a gap in its place: with the number of the last line that is missing, so that who reads on after it misses no more. */
  const gap = (first: LogLine | undefined, text: string): LogLine =>
    ({ stream: "platform", text, timestampNs: first?.timestampNs ?? lastNs, sequence: (first?.sequence ?? sequence) - 1 });

  /** What is kept of the lines after this one, after a word on what is not. */
  const since = (after: number): LogLine[] => {
    const lines = kept.slice(head).filter((line) => line.sequence > after);
    const first = lines[0]?.sequence ?? sequence;
    const missing = first - after - 1;
    if (missing <= 0) return lines;
    const before = after < firstSequence - 1;
    const text = before ? "log lines dropped: those from before the executor was restarted are not kept" : `${missing} log lines dropped: they are older than what is kept`;
    // A number of another instance, or none at all, is no gap.
    return before && firstSequence === 0 ? lines : [gap(lines[0], text), ...lines];
  };

  const trim = (lines: LogLine[], from: number, held: number): { from: number; held: number } => {
    let at = from;
    let left = held;
    while (lines.length - at > maxLines || (left > maxBytes && lines.length - at > 1)) {
      left -= weight(lines[at] as LogLine);
      at += 1;
    }
    return { from: at, held: left };
  };

  return {
    append(stream, text) {
      const time = now();
      // Within the same tick of the clock the lines count on by themselves: large numbers are slow to make.
      const clock = time === lastTime ? lastNs : BigInt(Math.round(time * 1000)) * 1000n;
      lastTime = time;
      lastNs = clock > lastNs ? clock : lastNs + 1n;
      const line: LogLine = { stream, text, timestampNs: lastNs, sequence: sequence++ };
      if (closed) return line;
      characters += text.length;
      kept.push(line);
      released += bytes + weight(line);
      ({ from: head, held: bytes } = trim(kept, head, bytes + weight(line)));
      released -= bytes;
      // Dropping from the front one by one would move the array each time; waiting for ever would keep what was dropped.
      if (head > maxLines || released > maxBytes) {
        kept = kept.slice(head);
        head = 0;
        released = 0;
      }
      for (const reader of readers) {
        reader.queue.push(line);
        reader.bytes += weight(line);
        const { from, held } = trim(reader.queue, 0, reader.bytes);
        if (from > 0) {
          reader.queue.splice(0, from);
          reader.bytes = held;
          reader.dropped += from;
          droppedInAll += from;
        }
        reader.wake();
      }
      return line;
    },
    async *read({ signal, tail = Number.POSITIVE_INFINITY, after, follow = true } = {}) {
      const past = after !== undefined ? since(after) : tail <= 0 ? [] : kept.slice(Math.max(head, kept.length - tail));
      const reader: Reader = { queue: past, bytes: past.reduce((sum, line) => sum + weight(line), 0), dropped: 0, wake: () => {} };
      if (follow && !closed) readers.add(reader);
      const abort = (): void => reader.wake();
      signal?.addEventListener("abort", abort);
      try {
        while (!signal?.aborted) {
          if (reader.queue.length > 0) {
            const lines = reader.queue;
            const { dropped } = reader;
            reader.queue = [];
            reader.bytes = 0;
            reader.dropped = 0;
            if (dropped > 0) yield gap(lines[0], `${dropped} log lines dropped: the reader was too slow`);
            for (const line of lines) {
              if (signal?.aborted) return;
              yield line;
            }
            continue;
          }
          if (!follow || closed) return;
          await new Promise<void>((resolve) => (reader.wake = resolve));
        }
      } finally {
        readers.delete(reader);
        signal?.removeEventListener("abort", abort);
      }
    },
    tail: (count) =>
      kept
        .slice(head)
        .filter(({ stream }) => stream !== "platform")
        .slice(-count)
        .map(({ text }) => text),
    counts: () => ({ lines: sequence - firstSequence, characters, dropped: droppedInAll }),
    close() {
      closed = true;
      for (const reader of readers) reader.wake();
    },
  };
}
