import { type Paint, plain } from "./color.ts";

/** Where a command writes and what it may know about the place it writes to. */
export interface Terminal {
  /** One line of result. */
  out(line: string): void;
  /** One line about the work itself. */
  note(line: string): void;
  readonly isTty: boolean;
  /** Columns; Infinity where nobody looks at once. */
  readonly width: number;
  /** Aborts on Ctrl-C, on TERM, and when nobody reads any more. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  /** All of standard input. */
  input(): Promise<string>;
  paint: Paint;
}

/** Lines that wait for a slow reader, in bytes; beyond that lines are left out and counted. */
const maxWaitingBytes = 8 * 1_048_576;
const maxInputBytes = 64 * 1_048_576;

/** A terminal that does not know its size says 0: `script`, serial lines, and containers without a window. */
export const widthOf = ({ columns }: { columns?: number }, env: NodeJS.ProcessEnv): number => columns || Number(env["COLUMNS"]) || Infinity;

/** The real one. Ends quietly when the reader goes away, as `head` does. */
export function processTerminal(): Terminal {
  const { stdout, stderr, stdin, env } = process;
  const ending = new AbortController();
  let leftOut = 0;
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.on(name, () => {
      // Who asks twice does not want to wait for good manners.
      if (ending.signal.aborted) process.exit(130);
      ending.abort();
    });
  const gone = (error: NodeJS.ErrnoException): void => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    ending.abort();
  };
  stdout.on("error", gone);
  stderr.on("error", gone);
  stdout.on("drain", () => {
    if (leftOut > 0) stderr.write(`opencf-bus: ${leftOut} lines left out: they came faster than they were read\n`);
    leftOut = 0;
  });
  return {
    out(line) {
      if (stdout.writableLength > maxWaitingBytes) leftOut++;
      else if (!stdout.destroyed) stdout.write(`${line}\n`);
    },
    note: (line) => void (stderr.destroyed || stderr.write(`opencf-bus: ${line}\n`)),
    isTty: stdout.isTTY === true,
    width: widthOf(stdout, env),
    signal: ending.signal,
    env,
    async input() {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of stdin) {
        size += (chunk as Buffer).length;
        if (size > maxInputBytes) throw new Error("standard input is longer than 64 MiB");
        chunks.push(chunk as Buffer);
      }
      return Buffer.concat(chunks).toString("utf8");
    },
    paint: plain,
  };
}
