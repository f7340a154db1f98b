import type { BodyReader } from "./body.ts";
import { createChunkedReader } from "./chunked-reader.ts";
import type { Framing } from "./head.ts";
import type { Http1Limits } from "./limits.ts";
import { refusalOf, type Refusal } from "./refusal.ts";

const none: readonly string[] = Object.freeze([]);

/** The reader that a head's `framing` asks for. `side` decides the status of refusals. */
export function createBodyReader(framing: Framing, side: "request" | "response", limits: Http1Limits = {}): BodyReader {
  switch (framing.kind) {
    case "none": return new LengthReader(0, side);
    case "length": return new LengthReader(framing.length, side);
    case "chunked": return createChunkedReader(side, limits);
    case "until-close": return new OpenReader();
  }
}

/** So many bytes (RFC 9112 section 6.2). A class, like the next: a reader is made for each body, and closures would be too. */
class LengthReader implements BodyReader {
  readonly #side: "request" | "response";
  #left: number;

  constructor(length: number, side: "request" | "response") {
    this.#left = length;
    this.#side = side;
  }

  push(chunk: Buffer, from: number, take: (slice: Buffer) => void): number {
    const end = Math.min(chunk.length, from + this.#left);
    this.#left -= end - from;
    if (end > from) take(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end));
    return end;
  }

  finish(): Refusal | undefined { return this.#left > 0 ? refusalOf(this.#side, "truncated") : undefined; }
  get done(): boolean { return this.#left === 0; }
  get trailers(): readonly string[] { return none; }
}

/** All there is (RFC 9112 section 6.3, the last resort of responses). */
class OpenReader implements BodyReader {
  done = false;

  push(chunk: Buffer, from: number, take: (slice: Buffer) => void): number {
    if (from < chunk.length) take(from === 0 ? chunk : chunk.subarray(from));
    return chunk.length;
  }

  finish(): undefined {
    this.done = true;
    return undefined;
  }

  get trailers(): readonly string[] { return none; }
}
