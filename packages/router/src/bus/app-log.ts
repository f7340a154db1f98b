import type { Body, Bus } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages/log";
import { cutTo, maxLineBytes } from "../log/cut.ts";
import type { RecordTarget } from "../log/target.ts";
import { accessLogLine, type AccessLogOptions } from "../proxy/access-log.ts";
import type { RequestRecord } from "../proxy/record.ts";

type Envelope = Body<typeof logEnvelopes>["envelopes"][number];

export interface AppLogOptions {
  /** Index of this router: the instance its lines come from. Default 0. */
  index?: number;
  /** What the lines hold; always the classic form. */
  format?: AccessLogOptions;
  /** Lines held until they are sent; beyond that they are dropped. Default 5000. */
  maxLines?: number;
  /** How long lines are gathered for one message. Default 100 ms. */
  everyMs?: number;
}

/** What goes into one message. */
const maxBatchLines = 500;
const maxBatchUnits = 500_000;
/** A line that is too long has its long fields cut to so many letters. */
const fieldLimit = 1_000;
const longLimit = 20_000;

/**
 * A copy of each line for the log of its app, as source `RTR` (`opencf.log`): users see the requests to their apps.
 * A request without an app id is nobody's and goes to no such log. Timestamps are those of the end of a request and rise strictly,
 * so that whoever asks for what is newer than the last line misses none; the labels are those of the endpoint.
 */
export function logToApps(bus: Bus, { index = 0, format = {}, maxLines = 5_000, everyMs = 100 }: AppLogOptions = {}): RecordTarget {
  const held: Envelope[] = [];
  let droppedLines = 0;
  let timer: NodeJS.Timeout | undefined;
  let lastNs = 0n;

  function timestampOf({ receivedAtMs, timings }: RequestRecord): string {
    const ns = BigInt(Math.round(receivedAtMs + timings.totalMs)) * 1_000_000n;
    lastNs = ns > lastNs ? ns : lastNs + 1n;
    return String(lastNs);
  }

  function send(): void {
    timer = undefined;
    while (held.length > 0) {
      let units = 0;
      let count = 0;
      while (count < held.length && count < maxBatchLines && units <= maxBatchUnits) units += (held[count++] as Envelope).payload.length;
      const envelopes = held.splice(0, count);
      try { bus.publish(logEnvelopes, { envelopes }); } catch { droppedLines += envelopes.length; }
    }
  }

  return {
    name: "app logs",
    take(record) {
      const app = record.endpoint?.app ?? "";
      if (app === "") return;
      if (held.length >= maxLines) {
        droppedLines += 1;
        return;
      }
      const tags = record.endpoint?.tags ?? {};
      held.push({
        source_id: app, instance_id: String(index), timestamp: timestampOf(record), type: "OUT", payload: lineFor(record, format),
        tags: { ...tags, source_type: "RTR" },
      });
      if (timer === undefined) timer = setTimeout(send, everyMs).unref();
    },
    get droppedLines() { return droppedLines; },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      send();
    },
  };
}

function lineFor(record: RequestRecord, format: AccessLogOptions): string {
  const line = accessLogLine(record, format).trimEnd();
  if (Buffer.byteLength(line) <= maxLineBytes) return line;
  return accessLogLine({
    ...record,
    target: cutTo(record.target, longLimit), userAgent: cutTo(record.userAgent, fieldLimit), referer: cutTo(record.referer, fieldLimit),
    forwardedFor: cutTo(record.forwardedFor, fieldLimit), forwardedProto: cutTo(record.forwardedProto, fieldLimit),
    header: (name) => {
      const value = record.header(name);
      return value === undefined ? undefined : cutTo(value, longLimit / Math.max(1, format.extraHeaders?.length ?? 1));
    },
  }, format).trimEnd();
}
