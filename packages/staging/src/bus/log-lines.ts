import type { Bus } from "@opencf/bus";
import { logEnvelopes } from "@opencf/bus/messages";
import type { StagingLine } from "../lines.ts";

type Envelope = Parameters<typeof logEnvelopes.body.encode>[0]["envelopes"][number];

export interface LogSource {
  readonly source_id: string;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** Sends lines to the log store in small batches, in order. Disposing sends the rest. */
export interface LineSender extends Disposable {
  send(line: StagingLine): void;
}

const flushMs = 100;
const flushLength = 128 * 1024;
const flushCount = 500;

/** Lines of source type `STG`, instance 0. Each gets a later time than the one before, so a store that sorts keeps their order. */
export function createLineSender(bus: Bus, { source_id, tags }: LogSource): LineSender {
  let batch: Envelope[] = [];
  let length = 0;
  let last = 0n;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (batch.length === 0) return;
    const envelopes = batch;
    batch = [];
    length = 0;
    try {
      bus.publish(logEnvelopes, { envelopes });
    } catch {
      // The bus counts what it could not send; a lost log line must not end a build.
    }
  };
  return {
    send({ text, stream }) {
      const now = BigInt(Date.now()) * 1_000_000n;
      last = now > last ? now : last + 1n;
      batch.push({
        source_id, instance_id: "0", timestamp: String(last), tags: { ...tags, source_type: "STG" }, type: stream === "err" ? "ERR" : "OUT", payload: text,
      });
      length += text.length;
      if (batch.length >= flushCount || length >= flushLength) flush();
      else timer ??= setTimeout(flush, flushMs).unref();
    },
    [Symbol.dispose]: flush,
  };
}
