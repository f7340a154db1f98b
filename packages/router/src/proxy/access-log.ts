import { createHash } from "node:crypto";
import type { RequestRecord } from "./record.ts";

/** Fields that are written only when asked for. */
export const extraLogFields = ["failed_attempts", "failed_attempts_time", "backend_time"] as const;
export type ExtraLogField = (typeof extraLogFields)[number];

export interface AccessLogOptions {
  /** Default none. */
  extraFields?: readonly ExtraLogField[];
  /** Request headers to add, as `x_some_header:"…"`. Default none. */
  extraHeaders?: readonly string[];
  /** What to do with the query of GET requests: leave it, leave it out, or put its SHA-1 in its place. Default `none`. */
  redactQuery?: "none" | "all" | "hash";
  /** Write `-` for addresses of clients. Default false. */
  hideClientAddress?: boolean;
}

/** Where lines go: a stream, `process.stdout`, or anything else that takes text. */
export interface AccessLogSink {
  write(line: string): unknown;
  /** Streams tell how much they hold; lines are dropped rather than piled up. */
  readonly writableLength?: number;
}

/** The classic line of a Cloud Foundry router, with its final newline. Times are UTC, durations seconds; `-` stands for what is missing. */
export function accessLogLine(record: RequestRecord, options: AccessLogOptions = {}): string {
  const { extraFields = [], extraHeaders = [], redactQuery = "none", hideClientAddress = false } = options;
  const { endpoint, timings } = record;
  const target = redactQuery === "none" || record.method !== "GET" ? record.target : redacted(record.target, redactQuery);
  let line = `${record.host || "-"} - [${timestamp(record.receivedAtMs)}] ${quoted(`${record.method} ${target} HTTP/${record.httpVersion}`)}`
    + ` ${record.status === 0 ? "\"-\"" : record.status} ${record.bytesIn} ${record.bytesOut} ${quoted(record.referer)} ${quoted(record.userAgent)}`
    + ` ${quoted(hideClientAddress ? "" : record.peer)} ${quoted(endpoint?.address ?? "")}`
    + ` x_forwarded_for:${quoted(hideClientAddress ? "" : record.forwardedFor)} x_forwarded_proto:${quoted(record.forwardedProto)}`
    + ` vcap_request_id:${quoted(record.requestId)} response_time:${seconds(timings.totalMs)} gorouter_time:${seconds(timings.routerMs)}`
    + ` app_id:${quoted(endpoint?.app ?? "")} app_index:${quoted(endpoint?.instanceIndex ?? "")} instance_id:${quoted(endpoint?.instanceId ?? "")}`;
  for (const field of new Set(extraFields)) {
    if (field === "failed_attempts") line += ` failed_attempts:${record.failedAttempts}`;
    else if (field === "failed_attempts_time") line += ` failed_attempts_time:${record.failedAttempts === 0 ? "\"-\"" : seconds(timings.failedAttemptsMs)}`;
    else line += ` backend_time:${seconds(timings.appMs)}`;
  }
  line += ` x_cf_routererror:${quoted(record.error ?? "")}`;
  for (const name of extraHeaders) line += ` ${name.toLowerCase().replaceAll("-", "_")}:${quoted(record.header(name.toLowerCase()) ?? "")}`;
  return `${line}\n`;
}

/** Nine digits after the second, as the original has them; the clock gives three. */
const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, -1)}000000Z`;

const seconds = (ms: number | undefined): string => (ms === undefined || ms < 0 ? "\"-\"" : (ms / 1000).toFixed(6));

/** In quotes and escaped: a header of a client must not be able to forge a line. */
const quoted = (text: string): string => (text === "" ? "\"-\"" : JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped));

const escaped = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;

function redacted(target: string, how: "all" | "hash"): string {
  const query = target.indexOf("?");
  if (query < 0) return target;
  const path = target.slice(0, query);
  return how === "all" ? path : `${path}?hash=${createHash("sha1").update(target.slice(query + 1)).digest("hex")}`;
}
