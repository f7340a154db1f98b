import type { Body } from "@opencf/bus";
import type { logEnvelopes } from "@opencf/bus/messages";
import type { Instance } from "../instance/instance.ts";
import type { LogLine } from "../instance/log-buffer.ts";

export type Envelope = Body<typeof logEnvelopes>["envelopes"][number];

export interface LogRelayOptions {
  publish(envelopes: Envelope[]): void;
  /** Lines one instance may send between two flushes. Default 1 000. */
  maxLinesPerFlush?: number;
  /** Bytes one instance may send between two flushes. Default 256 KiB. */
  maxBytesPerFlush?: number;
  /** Bytes held in all while nothing can be sent. Default 4 MiB. */
  maxHeldBytes?: number;
}

export interface LogRelay {
  add(instance: Instance, line: LogLine): void;
  /** Sends what is held, in messages well below the bus's limit. */
  flush(): void;
}

interface Share {
  lines: number;
  bytes: number;
  dropped: number;
  last: LogLine | undefined;
}

/** A bus message is at most 1 MiB by default; JSON may double a payload. */
const batchBytes = 256 * 1024;
const batchLines = 1_000;

export function envelope({ spec }: Instance, line: LogLine): Envelope {
  const tags = { source_type: `APP/PROC/${spec.processType.toUpperCase()}`, process_type: spec.processType, ...spec.logSource.tags };
  return {
    source_id: spec.logSource.sourceId,
    instance_id: String(spec.index),
    timestamp: String(line.timestampNs),
    tags: line.stream === "platform" ? { ...tags, source_type: "CELL" } : tags,
    type: line.stream === "stderr" ? "ERR" : "OUT",
    payload: line.text,
  };
}

/**
 * Gathers lines into batches. Each instance has its share of each batch, so that one that floods
 * costs itself lines and nobody else; what was dropped is said in its place.
 */
export function createLogRelay(options: LogRelayOptions): LogRelay {
  const { publish, maxLinesPerFlush = 1_000, maxBytesPerFlush = 256 * 1024, maxHeldBytes = 4 * 1024 ** 2 } = options;
  let held: Envelope[] = [];
  let heldBytes = 0;
  let shares = new Map<Instance, Share>();

  return {
    add(instance, line) {
      let share = shares.get(instance);
      if (!share) shares.set(instance, (share = { lines: 0, bytes: 0, dropped: 0, last: undefined }));
      const bytes = Buffer.byteLength(line.text) + 256;
      if (share.lines >= maxLinesPerFlush || share.bytes + bytes > maxBytesPerFlush || heldBytes + bytes > maxHeldBytes) {
        share.dropped += 1;
        share.last = line;
        return;
      }
      share.lines += 1;
      share.bytes += bytes;
      heldBytes += bytes;
      held.push(envelope(instance, line));
    },
    flush() {
      for (const [instance, { dropped, last }] of shares) {
        if (last) held.push(envelope(instance, { ...last, stream: "platform", text: `${dropped} log lines dropped: the app writes faster than they can be sent` }));
      }
      const envelopes = held;
      held = [];
      heldBytes = 0;
      shares = new Map();
      let batch: Envelope[] = [];
      let bytes = 0;
      for (const one of envelopes) {
        const size = Buffer.byteLength(one.payload) + 256;
        if (batch.length > 0 && (bytes + size > batchBytes || batch.length >= batchLines)) {
          publish(batch);
          batch = [];
          bytes = 0;
        }
        batch.push(one);
        bytes += size;
      }
      if (batch.length > 0) publish(batch);
    },
  };
}
