import { firstHeader, headerNames, type Headers } from "../headers.ts";
import type { AnyMessage, Format } from "../schema.ts";
import type { Packet } from "../transport.ts";
import { textWithoutSecrets, withoutSecrets } from "./secrets.ts";

/**
 * One packet as `tap --json` prints it and `tap --timeline --from` reads it. The fields are stable: new ones may come, none goes.
 */
export interface TapDocument {
  /** When it was heard, ISO 8601 with milliseconds. */
  readonly at: string;
  readonly subject: string;
  /** Subject template of the catalogue, or null for a subject it does not know. Of an answer: the template of the request. */
  readonly message: string | null;
  /** Whether the body satisfies the schema; null where nothing is known about it. */
  readonly valid: boolean | null;
  /** Every fault by the name of its field. */
  readonly issues?: readonly string[];
  /** Subject on which answers are awaited, or null. */
  readonly reply: string | null;
  /** Subject of the request that this answers, or null. */
  readonly answers: string | null;
  /** Component that spoke, as it calls itself, or null. */
  readonly sender: string | null;
  /** Trace id, message id, id of the message that led to this one; or null. */
  readonly trace: string | null;
  readonly id: string | null;
  readonly cause: string | null;
  /** Other headers, where there are some. */
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  /** Status of the server itself, such as 503 where nobody listens. */
  readonly status?: number;
  /** Length of the body on the wire. */
  readonly bytes: number;
  /** Body as JSON; as text where it is none. */
  readonly body: unknown;
}

export interface DocumentOptions {
  atMs: number;
  /** What the catalogue knows about the subject, or about the request that this packet answers. */
  message: AnyMessage | undefined;
  /** Subject of the request that this packet answers. */
  answers?: string | undefined;
  /** Leaves secrets in. */
  secrets?: boolean;
}

/** What is longer is no message anybody reads: the rest is left out of text bodies. */
const maxTextCharacters = 64 * 1_024;

const own = new Set<string>([headerNames.trace, headerNames.message, headerNames.causation, headerNames.sender]);

/** Decodes a packet and checks it against the catalogue. Never throws. */
export function documentOf({ subject, data, text, bytes, reply, headers, status }: Packet, { atMs, message, answers, secrets = false }: DocumentOptions): TapDocument {
  const format = answers === undefined ? message?.body : message?.reply;
  const parsed = status === undefined ? format?.parse(data) : undefined;
  const body = parsed?.ok ? parsed.body : readable(text, data, format);
  return {
    at: new Date(atMs).toISOString(),
    subject,
    message: message?.subject ?? null,
    valid: parsed?.ok ?? null,
    ...(parsed && !parsed.ok && { issues: parsed.issues }),
    reply: reply ?? null,
    answers: answers ?? null,
    sender: firstHeader(headers, headerNames.sender) ?? null,
    trace: firstHeader(headers, headerNames.trace) ?? null,
    id: firstHeader(headers, headerNames.message) ?? null,
    cause: firstHeader(headers, headerNames.causation) ?? null,
    ...others(headers, secrets),
    ...(status && { status: status.code }),
    bytes,
    body: secrets ? body : typeof body === "string" ? textWithoutSecrets(body) : withoutSecrets(body),
  };
}

function others(headers: Headers | undefined, secrets: boolean): { headers?: Headers } {
  const rest = Object.entries(headers ?? {}).filter(([name]) => !own.has(name));
  if (rest.length === 0) return {};
  const shown = Object.fromEntries(rest) as Headers;
  return { headers: secrets ? shown : (withoutSecrets(shown) as Headers) };
}

function readable(text: string, data: Uint8Array, format: Format<unknown> | undefined): unknown {
  if (data.length === 0) return "";
  if (format?.codec !== "text")
    try {
      return JSON.parse(text);
    } catch {
      // Shown as it came.
    }
  // A replacement character says that this was no text.
  if (text.includes("\ufffd") || text.includes("\0")) return `<${bytesOf(data)}>`;
  return text.length > maxTextCharacters ? `${text.slice(0, maxTextCharacters)}…` : text;
}

const bytesOf = (data: Uint8Array): string => `${data.length} bytes beginning ${Buffer.from(data.subarray(0, 16)).toString("hex")}`;
