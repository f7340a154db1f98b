import type { Refusal } from "./refusal.ts";

/** Finds the end of one body in the bytes of a connection. */
export interface BodyReader {
  /**
   * Takes `chunk` from `from` on and hands what belongs to the body to `take`, as views into `chunk`: copy what outlives it.
   * @returns where in `chunk` the next message begins (its length while the body goes on), or a refusal, which ends the connection
   */
  push(chunk: Buffer, from: number, take: (slice: Buffer) => void): number | Refusal;
  /** The connection has ended: undefined where that is the end of the body, or behind it. */
  finish(): Refusal | undefined;
  readonly done: boolean;
  /** Of a chunked body, when done: name, value, name, value. */
  readonly trailers: readonly string[];
}
