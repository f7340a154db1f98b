import type { BodyReader } from "./body.ts";
import { Fields } from "./field-lines.ts";
import { pausedAt, readFields, REFUSED } from "./fields.ts";
import { withDefaults, type Http1Limits } from "./limits.ts";
import { CR, HT, LF, octets, VALUE } from "./octets.ts";
import { refusalOf, type Refusal, type RefusalCode } from "./refusal.ts";

const SEMICOLON = 0x3b;
const none: readonly string[] = Object.freeze([]);

/** What is expected next; the numbers are the states of a machine that goes octet by octet outside of the data. */
const SIZE = 0, EXTENSION = 1, SIZE_LF = 2, DATA = 3, DATA_CR = 4, DATA_LF = 5, TRAILERS = 6, DONE = 7, FAILED = 8;

/** `;name`, `;name=token` or `;name="text"`, any number of them and no blanks (RFC 9112 section 7.1.1). */
const extensions = /^(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\]|\\.)*"))?)*$/s;

/** Would change how a message is framed or routed after somebody has decided about it (RFC 9110 section 6.5.1). */
const forbidden = new Set(["content-length", "transfer-encoding", "host", "connection", "upgrade", "trailer", "te"]);

/**
 * Chunked coding (RFC 9112 section 7.1), without its tolerances: no blanks around the size, CRLF alone ends a line, extensions are checked,
 * counted over the whole body and dropped. Trailers are kept.
 */
export function createChunkedReader(side: "request" | "response", limits: Http1Limits = {}): BodyReader {
  const { maxChunkExtensionBytes, maxTrailerBytes, maxHeaders } = withDefaults(limits);
  let state = SIZE;
  let size = 0;
  let digits = 0;
  let extension: number[] = [];
  let extensionBytes = 0;
  const fields = new Fields();
  let held: Buffer = Buffer.alloc(0);
  let trailerBytes = 0;

  function refuse(code: RefusalCode): Refusal {
    state = FAILED;
    return refusalOf(side, code);
  }

  /** Takes one octet of what stands around the data; a code where it may not stand. */
  function framingOctet(octet: number): RefusalCode | undefined {
    switch (state) {
      case SIZE: {
        const digit = hexDigit(octet);
        if (digit >= 0) {
          digits += 1;
          size = size * 16 + digit;
          // 13 digits are what a number holds exactly; more zeros before them say nothing honest.
          return digits > 13 ? "bad_chunk_size" : undefined;
        }
        if (digits === 0) return "bad_chunk_size";
        if (octet === CR) state = SIZE_LF;
        else if (octet === SEMICOLON) {
          state = EXTENSION;
          return extensionOctet(octet);
        } else return octet === LF ? "bare_lf" : "bad_chunk_size";
        return undefined;
      }
      case EXTENSION: return extensionOctet(octet);
      case SIZE_LF:
        if (octet !== LF) return "bare_cr";
        if (extension.length > 0 && !extensions.test(Buffer.from(extension).toString("latin1"))) return "bad_chunk_extension";
        extension = [];
        digits = 0;
        state = size === 0 ? TRAILERS : DATA;
        return undefined;
      case DATA_CR:
        if (octet !== CR) return "bad_chunk_end";
        state = DATA_LF;
        return undefined;
      case DATA_LF:
        if (octet !== LF) return "bad_chunk_end";
        state = SIZE;
        return undefined;
      default: return undefined;
    }
  }

  function extensionOctet(octet: number): RefusalCode | undefined {
    if (octet === CR) {
      state = SIZE_LF;
      return undefined;
    }
    if (octet === LF) return "bare_lf";
    if (((octets[octet] as number) & VALUE) === 0 && octet !== HT) return "bad_chunk_extension";
    extensionBytes += 1;
    if (extensionBytes > maxChunkExtensionBytes) return "chunk_extensions_too_large";
    extension.push(octet);
    return undefined;
  }

  /** Takes trailer lines; whole ones are read, the beginning of one is kept. */
  function takeTrailers(chunk: Buffer, from: number): number | Refusal {
    const before = held.length;
    const bytes = before === 0 ? chunk.subarray(from) : Buffer.concat([held, chunk.subarray(from)]);
    const room = maxTrailerBytes + 2 - trailerBytes;
    const stop = bytes.subarray(0, room).lastIndexOf(LF) + 1;
    const end = readFields({ bytes, text: bytes.toString("latin1", 0, stop), base: 0, stop }, 0, fields, maxHeaders);
    if (end === REFUSED) return refuse(fields.problem === "too_many_headers" ? "trailers_too_large" : fields.problem ?? "bad_field_name");
    if (end >= 0) {
      if (fields.raw.some((name, at) => at % 2 === 0 && forbidden.has(name.toLowerCase()))) return refuse("forbidden_trailer");
      state = DONE;
      held = Buffer.alloc(0);
      return from + end - before;
    }
    const read = pausedAt(end);
    trailerBytes += read;
    if (bytes.length > room) return refuse("trailers_too_large");
    held = Buffer.from(bytes.subarray(read));
    return chunk.length;
  }

  return {
    push(chunk, from, take) {
      let at = from;
      while (at < chunk.length) {
        if (state === DATA) {
          const end = Math.min(chunk.length, at + size);
          size -= end - at;
          take(chunk.subarray(at, end));
          at = end;
          if (size === 0) state = DATA_CR;
        } else if (state === TRAILERS) return takeTrailers(chunk, at);
        else if (state === DONE || state === FAILED) return at;
        else {
          const problem = framingOctet(chunk[at] as number);
          if (problem !== undefined) return refuse(problem);
          at += 1;
        }
      }
      return at;
    },
    finish: () => state === DONE ? undefined : refuse("truncated"),
    get done() { return state === DONE; },
    get trailers() { return state === DONE ? fields.raw : none; },
  };
}

/** 0 to 15, or -1. */
function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
