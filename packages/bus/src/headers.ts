import { BusError } from "./errors.ts";

/** Header block of a packet: names keep their case, a name may have several values (NATS `HPUB`/`HMSG`). */
export type Headers = Readonly<Record<string, readonly string[]>>;

/** What a sender may write: one value or several for a name. */
export type HeadersInit = Readonly<Record<string, string | readonly string[]>>;

/** Names that OpenCF writes. Peers that do not know them pass them by. */
export const headerNames = {
  /** One for everything that one cause led to. */
  trace: "Opencf-Trace-Id",
  /** One for every message; the same again when a message is sent again. */
  message: "Opencf-Message-Id",
  /** The message that led to this one. */
  causation: "Opencf-Causation-Id",
  /** Name of the component that spoke, such as `dea/0`. */
  sender: "Opencf-Sender",
  /** Lease and fencing number under which the sender acts, such as `reconciler=17`. */
  fence: "Opencf-Fence",
} as const;

// Printable ASCII without the colon (NATS ADR-4).
const name = /^[\x21-\x39\x3b-\x7e]+$/;

/** @throws BusError `BUS_INVALID_HEADER` for a name with `:` or blanks, or a value with CR or LF */
export function normalizeHeaders(given: HeadersInit): Headers {
  const headers: Record<string, readonly string[]> = {};
  for (const key of Object.keys(given)) {
    if (!name.test(key)) throw new BusError("BUS_INVALID_HEADER", `${JSON.stringify(key.slice(0, 80))} is no header name: printable characters without blanks and colons are needed`);
    const value = given[key] as string | readonly string[];
    const values = typeof value === "string" ? [value] : [...value];
    for (const each of values)
      if (typeof each !== "string" || /[\r\n]/.test(each)) throw new BusError("BUS_INVALID_HEADER", `the value of header ${key} must be text without line ends`);
    headers[key] = values;
  }
  return headers;
}

/** First value of a header, or undefined. Case-sensitive, as NATS is. */
export const firstHeader = (headers: Headers | undefined, key: string): string | undefined => headers?.[key]?.[0];

/** Bytes that the block takes on the wire; they count toward the payload limit. */
export function headerBytes(headers: Headers | undefined): number {
  if (!headers) return 0;
  let size = 12; // "NATS/1.0\r\n" and the closing "\r\n"
  for (const key of Object.keys(headers)) for (const value of headers[key] as readonly string[]) size += Buffer.byteLength(key) + Buffer.byteLength(value) + 4;
  return size;
}
