import type { RequestRecord } from "../proxy/record.ts";

/** Where lines go without anybody waiting for them. What cannot be kept is dropped and counted. */
export interface LogTarget extends AsyncDisposable {
  /** What it is, for people: a path, an address. */
  readonly name: string;
  /** Takes whole lines, UTF-8, each with its newline; the memory may be kept, and is not to be written to. Returns at once, never throws. */
  put(lines: Buffer, count: number): void;
  /** Opens anew what it writes to, e.g. after a log was rotated. */
  reopen?(): void;
  readonly writtenLines: number;
  readonly droppedLines: number;
}

/** Takes requests rather than lines; `line` has its newline. Returns at once, never throws. */
export interface RecordTarget extends AsyncDisposable {
  readonly name: string;
  take(record: RequestRecord, line: string): void;
  readonly droppedLines: number;
}
