import { extraValues, loggedTarget, type AccessLogOptions } from "../proxy/access-log.ts";
import type { RequestRecord } from "../proxy/record.ts";

/** One request as one line of JSON, with its final newline: the names of the classic line, durations in seconds, nothing for what is missing. */
export function accessLogJson(record: RequestRecord, options: AccessLogOptions = {}): string {
  const { extraFields = [], extraHeaders = [], hideClientAddress = false, hidePeer = hideClientAddress, hideForwardedFor = hideClientAddress } = options;
  const { endpoint, timings } = record;
  const fields: Record<string, unknown> = {
    timestamp: new Date(record.receivedAtMs).toISOString(),
    host: text(record.host), method: record.method, target: loggedTarget(record, options), protocol: `HTTP/${record.httpVersion}`,
    status: record.status === 0 ? undefined : record.status, bytes_in: record.bytesIn, bytes_out: record.bytesOut,
    referer: text(record.referer), user_agent: text(record.userAgent), peer: hidePeer ? undefined : text(record.peer), backend: endpoint?.address,
    x_forwarded_for: hideForwardedFor ? undefined : text(record.forwardedFor), x_forwarded_proto: text(record.forwardedProto), vcap_request_id: text(record.requestId),
    response_time: seconds(timings.totalMs), gorouter_time: seconds(timings.routerMs),
    app_id: text(endpoint?.app), app_index: text(endpoint?.instanceIndex), instance_id: text(endpoint?.instanceId), route: record.route,
  };
  for (const field of extraFields) {
    if (!Object.hasOwn(extraValues, field)) continue;
    const value = extraValues[field](record);
    fields[field] = typeof value === "string" ? text(value) : field === "failed_attempts" ? value : seconds(value);
  }
  fields["x_cf_routererror"] = record.error ?? record.warning;
  for (const name of extraHeaders) fields[name.toLowerCase().replaceAll("-", "_")] ??= record.header(name.toLowerCase());
  return `${JSON.stringify(fields)}\n`;
}

const text = (value: string | undefined): string | undefined => (value === "" ? undefined : value);
const seconds = (ms: number | undefined): number | undefined => (ms === undefined || ms < 0 ? undefined : Math.round(ms * 1_000) / 1_000_000);
