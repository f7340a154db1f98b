import { silentLogger, type Logger } from "../ports.ts";
import type { LogTarget } from "./target.ts";

export interface WriterOptions {
  readonly name: string;
  /** Bytes kept for a target that does not take them; beyond that lines are dropped. Default 1 048 576. */
  readonly maxBacklog?: number;
  /** Hands whole lines over and resolves when the other side has them. */
  readonly send: (lines: Buffer) => Promise<void>;
  readonly reopen?: () => void;
  readonly close?: () => Promise<void> | void;
  /** After a failure, before the next try. Default 1000 ms. */
  readonly retryMs?: number;
  /** How long the end waits for what is still to be written. Default 2000 ms. */
  readonly closeMs?: number;
  readonly log?: Logger;
}

/**
 * A bounded queue before something slow. One batch at a time is under way; what comes meanwhile is the next batch.
 * A batch that fails is dropped and counted, since half of it may have arrived; that it failed is said once, and once that it works again.
 */
export function createWriter({ name, maxBacklog = 1_048_576, send, reopen, close, retryMs = 1_000, closeMs = 2_000, log = silentLogger }: WriterOptions): LogTarget {
  let pending: Buffer[] = [];
  let pendingLines = 0;
  let backlog = 0;
  let writtenLines = 0;
  let droppedLines = 0;
  let busy: Promise<void> | undefined;
  let failing = false;
  let closing = false;
  let wake: (() => void) | undefined;

  async function run(): Promise<void> {
    while (pending.length > 0) {
      const bytes = pending.length === 1 ? pending[0] as Buffer : Buffer.concat(pending);
      const lines = pendingLines;
      pending = [];
      pendingLines = 0;
      try {
        await send(bytes);
        writtenLines += lines;
        if (failing) log.info("router.access-log.recovered", { target: name, droppedLines });
        failing = false;
      } catch (cause) {
        droppedLines += lines;
        if (!failing) log.error("router.access-log.failed", { target: name, error: cause instanceof Error ? cause.message : String(cause) });
        failing = true;
      }
      backlog -= bytes.length;
      if (failing && !closing) await pause();
    }
    busy = undefined;
  }

  const pause = (): Promise<void> => new Promise((resolve) => {
    const timer = setTimeout(resolve, retryMs);
    timer.unref();
    wake = () => { clearTimeout(timer); resolve(); };
  });

  return {
    name,
    put(lines, count) {
      if (closing || backlog + lines.length > maxBacklog) {
        droppedLines += count;
        return;
      }
      pending.push(lines);
      pendingLines += count;
      backlog += lines.length;
      busy ??= run();
    },
    reopen: () => {
      reopen?.();
      wake?.();
    },
    get writtenLines() { return writtenLines; },
    get droppedLines() { return droppedLines; },
    async [Symbol.asyncDispose]() {
      if (closing) return;
      closing = true;
      wake?.();
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([busy, new Promise((resolve) => { timer = setTimeout(resolve, closeMs); })]);
      clearTimeout(timer);
      await close?.();
    },
  };
}
