import { createHash } from "node:crypto";
import { passageTakenBy, type RequestRecord } from "./record.ts";

/** Fields that are written only when asked for. */
export const extraLogFields = ["failed_attempts", "failed_attempts_time", "dns_time", "dial_time", "tls_time", "backend_time", "local_address"] as const;
export type ExtraLogField = (typeof extraLogFields)[number];

export interface AccessLogOptions {
  /** `line`: the classic line of a Cloud Foundry router. `json`: one object per line, times in seconds, without what is missing. Default `line`. */
  kind?: "line" | "json";
  /** In this order, each once; names that are unknown are passed over, as in gorouter. Default none. */
  extraFields?: readonly ExtraLogField[];
  /** Request headers to add, as `x_some_header:"…"`. Default none. */
  extraHeaders?: readonly string[];
  /** What to do with the query of GET requests: leave it, leave it out, or put its SHA-1 in its place. Default `none`. */
  redactQuery?: "none" | "all" | "hash";
  /** Write `-` for addresses of clients: both of the next two. Default false. */
  hideClientAddress?: boolean;
  /** Write `-` for `X-Forwarded-For`. Default false. */
  hideForwardedFor?: boolean;
  /** Write `-` for the address of the peer. Default false. */
  hidePeer?: boolean;
}

/** Where lines go: a stream or `process.stdout`, which get several at a time, or anything else that takes text, which gets one at a time. */
export interface AccessLogSink {
  write(line: string): unknown;
  /** Streams tell how much they hold; lines are dropped rather than piled up. */
  readonly writableLength?: number;
}

/** The classic line of a Cloud Foundry router, with its final newline. Times are UTC, durations seconds; `-` stands for what is missing. */
export function accessLogLine(record: RequestRecord, options: AccessLogOptions = {}): string {
  const { timings } = record;
  const { begin, request, who, end } = wordsOf(record, options);
  const said = record.error ?? record.warning;
  const extra = options.extraFields === undefined ? "" : extraText(record, options.extraFields);
  const more = options.extraHeaders === undefined ? "" : headersText(record, options.extraHeaders);
  return `${begin}${timestamp(record.receivedAtMs)}${request}${record.status === 0 ? "\"-\"" : record.status} ${record.bytesIn} ${record.bytesOut}${who}${quoted(record.requestId)}`
    + ` response_time:${seconds(timings.totalMs)} gorouter_time:${seconds(timings.routerMs)}${end}${extra} x_cf_routererror:${said === undefined ? "\"-\"" : quoted(said)}${more}\n`;
}

function headersText(record: RequestRecord, extraHeaders: readonly string[]): string {
  let text = "";
  for (const name of extraHeaders) text += ` ${name.toLowerCase().replaceAll("-", "_")}:${quoted(record.header(name.toLowerCase()) ?? "")}`;
  return text;
}

function extraText(record: RequestRecord, extraFields: readonly ExtraLogField[]): string {
  let text = "";
  for (const field of new Set(extraFields)) {
    if (!Object.hasOwn(extraValues, field)) continue;
    const value = extraValues[field](record);
    text += ` ${field}:${typeof value === "string" ? quoted(value) : field === "failed_attempts" ? value : seconds(value)}`;
  }
  return text;
}

/** What is the same in the lines of requests that repeat each other. */
export interface Words {
  readonly begin: string;
  readonly request: string;
  readonly who: string;
  readonly end: string;
  /** What they were made of, beside the lines of the request's head. */
  readonly options: AccessLogOptions;
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly endpoint: RequestRecord["endpoint"];
  /** The whole line as bytes, where somebody keeps it. */
  form: unknown;
}

/** The words for this request's line; those of the last one where nothing in them is different. */
export function wordsOf(record: RequestRecord, options: AccessLogOptions): Words {
  const passage = passageTakenBy(record);
  if (passage?.isRepeated !== true) return makeWords(record, options);
  const held = passage.logged as Words | undefined;
  if (held !== undefined && held.options === options && held.target === record.target && held.endpoint === record.endpoint
    && held.method === record.method && held.httpVersion === record.httpVersion) return held;
  const made = makeWords(record, options);
  passage.logged = made;
  return made;
}

function makeWords(record: RequestRecord, options: AccessLogOptions): Words {
  const { hideClientAddress = false, hidePeer = hideClientAddress, hideForwardedFor = hideClientAddress } = options;
  const { method, target, httpVersion, endpoint } = record;
  const { address, rest } = endpointParts(endpoint);
  const begin = `${record.host || "-"} - [`;
  const logged = loggedTarget(record, options);
  // Looked at before they are joined: a pattern goes through a text that is one piece.
  const request = harmless.test(logged) && harmless.test(method) ? `] "${method} ${logged} HTTP/${httpVersion}" ` : `] ${quoted(`${method} ${logged} HTTP/${httpVersion}`)} `;
  const who = ` ${quoted(record.referer)} ${quoted(record.userAgent)} ${quoted(hidePeer ? "" : record.peer)} ${address}`
    + ` x_forwarded_for:${quoted(hideForwardedFor ? "" : record.forwardedFor)} x_forwarded_proto:${quoted(record.forwardedProto)} vcap_request_id:`;
  return { begin, request, who, end: rest, options, method, target, httpVersion, endpoint, form: undefined };
}

interface EndpointParts { readonly address: string; readonly rest: string }

const nowhere: EndpointParts = { address: "\"-\"", rest: " app_id:\"-\" app_index:\"-\" instance_id:\"-\"" };
/** The same words for each request to an endpoint. */
const partsOf = new WeakMap<object, EndpointParts>();

function endpointParts(endpoint: RequestRecord["endpoint"]): EndpointParts {
  if (endpoint === undefined) return nowhere;
  let parts = partsOf.get(endpoint);
  if (parts === undefined) {
    parts = { address: quoted(endpoint.address), rest: ` app_id:${quoted(endpoint.app)} app_index:${quoted(endpoint.instanceIndex)} instance_id:${quoted(endpoint.instanceId)}` };
    partsOf.set(endpoint, parts);
  }
  return parts;
}

/** What each further field holds: text, or a duration in milliseconds. */
export const extraValues: Readonly<Record<ExtraLogField, (record: RequestRecord) => string | number | undefined>> = {
  failed_attempts: ({ failedAttempts }) => failedAttempts,
  failed_attempts_time: ({ failedAttempts, timings }) => (failedAttempts === 0 ? undefined : timings.failedAttemptsMs),
  dns_time: ({ timings }) => timings.dnsMs,
  dial_time: ({ timings }) => timings.dialMs,
  tls_time: ({ timings }) => timings.tlsMs,
  backend_time: ({ timings }) => timings.appMs,
  local_address: ({ localAddress }) => localAddress,
};

/** The target as it may be written down. */
export const loggedTarget = ({ method, target }: RequestRecord, { redactQuery = "none" }: AccessLogOptions): string =>
  (redactQuery === "none" || method !== "GET" ? target : redacted(target, redactQuery));

/** Nine digits after the second, as the original has them; the clock gives three. */
function timestamp(ms: number): string {
  // A busy router asks for the same millisecond many times.
  if (ms !== lastMs) {
    lastMs = ms;
    lastText = `${new Date(ms).toISOString().slice(0, -1)}000000Z`;
    lastBytes.write(lastText, "latin1");
  }
  return lastText;
}
let lastMs = NaN;
let lastText = "";
const lastBytes = Buffer.alloc(32);

/** The same as bytes, good until the next time is asked for. */
export function lineTime(ms: number): Uint8Array {
  timestamp(ms);
  return lastBytes;
}

/** "000" to "999". */
const threeDigits: readonly string[] = Array.from({ length: 1_000 }, (_, number) => String(number).padStart(3, "0"));

function seconds(ms: number | undefined): string {
  if (ms === undefined || ms < 0) return "\"-\"";
  const micros = Math.round(ms * 1_000);
  return `${Math.floor(micros / 1_000_000)}.${threeDigits[Math.floor(micros / 1_000) % 1_000] as string}${threeDigits[micros % 1_000] as string}`;
}

/** In quotes and escaped: a header of a client must not be able to forge a line. */
const quoted = (text: string): string => (text === "" ? "\"-\"" : harmless.test(text) ? `"${text}"` : JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped));

/** Printable ASCII without the quote and the backslash: nearly everything there is, and nothing to escape in it. */
const harmless = /^[ !#-[\]-~]*$/;

const escaped = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;

function redacted(target: string, how: "all" | "hash"): string {
  const query = target.indexOf("?");
  if (query < 0) return target;
  const path = target.slice(0, query);
  return how === "all" ? path : `${path}?hash=${createHash("sha1").update(target.slice(query + 1)).digest("hex")}`;
}
