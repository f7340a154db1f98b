import type { BodyReader } from "./body.ts";
import { createChunkedReader } from "./chunked-reader.ts";
import type { Framing } from "./head.ts";
import type { Http1Limits } from "./limits.ts";
import { refusalOf } from "./refusal.ts";

/** The reader that a head's `framing` asks for. `side` decides the status of refusals. */
export function createBodyReader(framing: Framing, side: "request" | "response", limits: Http1Limits = {}): BodyReader {
  switch (framing.kind) {
    case "none": return createLengthReader(0, side);
    case "length": return createLengthReader(framing.length, side);
    case "chunked": return createChunkedReader(side, limits);
    case "until-close": return createOpenReader();
  }
}

const none: readonly string[] = Object.freeze([]);

/** So many bytes (RFC 9112 section 6.2). */
function createLengthReader(length: number, side: "request" | "response"): BodyReader {
  let left = length;
  return {
    push(chunk, from, take) {
      const end = Math.min(chunk.length, from + left);
      left -= end - from;
      if (end > from) take(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end));
      return end;
    },
    finish: () => left > 0 ? refusalOf(side, "truncated") : undefined,
    get done() { return left === 0; },
    trailers: none,
  };
}

/** All there is (RFC 9112 section 6.3, the last resort of responses). */
function createOpenReader(): BodyReader {
  let done = false;
  return {
    push(chunk, from, take) {
      if (from < chunk.length) take(from === 0 ? chunk : chunk.subarray(from));
      return chunk.length;
    },
    finish() {
      done = true;
      return undefined;
    },
    get done() { return done; },
    trailers: none,
  };
}
