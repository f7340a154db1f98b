export interface LineSplitter {
  push(chunk: Buffer): void;
  /** Ends the line that was begun and throws away the whole lines after it. Answers how many, empty ones too. */
  skip(chunk: Buffer): number;
  /** Emits what stands after the last newline. */
  end(): void;
}

/**
 * Cuts bytes into lines. Holds at most `maxLineBytes` whatever comes: what a longer line has beyond that is
 * counted and thrown away, and the line ends with a mark that says so. Empty lines are left out.
 */
export function createLineSplitter(maxLineBytes: number, emit: (text: string) => void): LineSplitter {
  let parts: Buffer[] = [];
  let held = 0;
  let cut = 0;

  const take = (piece: Buffer): void => {
    const fits = piece.subarray(0, Math.max(0, maxLineBytes - held));
    cut += piece.length - fits.length;
    if (fits.length === 0) return;
    parts.push(fits);
    held += fits.length;
  };
  const finish = (): void => {
    const line = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    const mark = cut > 0 ? ` [... ${cut} bytes cut]` : "";
    parts = [];
    held = 0;
    cut = 0;
    const end = line.at(-1) === 0x0d ? line.length - 1 : line.length;
    if (end > 0 || mark) emit(line.toString("utf8", 0, end) + mark);
  };

  const splitter: LineSplitter = {
    skip(chunk) {
      let from = 0;
      if (held > 0 || cut > 0) {
        from = chunk.indexOf(10) + 1;
        splitter.push(from > 0 ? chunk.subarray(0, from) : chunk);
        if (from === 0) return 0;
      }
      let lines = 0;
      for (let at = chunk.indexOf(10, from); at >= 0; at = chunk.indexOf(10, from)) {
        lines += 1;
        from = at + 1;
      }
      if (from < chunk.length) splitter.push(chunk.subarray(from));
      return lines;
    },
    push(chunk) {
      let from = 0;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
        // Nearly every line: it is whole, and nothing was begun.
        if (held === 0 && cut === 0 && at - from <= maxLineBytes) {
          const end = at > from && chunk[at - 1] === 0x0d ? at - 1 : at;
          if (end > from) emit(chunk.toString("utf8", from, end));
        } else {
          take(chunk.subarray(from, at));
          finish();
        }
        from = at + 1;
      }
      // A copy: the rest of a line must not keep a whole read buffer alive, and small pieces must not pile up.
      if (from < chunk.length) take(Buffer.from(chunk.subarray(from, from + maxLineBytes + 1)));
      cut += Math.max(0, chunk.length - from - (maxLineBytes + 1));
      if (parts.length > 64) parts = [Buffer.concat(parts)];
    },
    end() {
      if (held > 0 || cut > 0) finish();
    },
  };
  return splitter;
}
