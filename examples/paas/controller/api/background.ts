import { detached } from "../../database.ts";
import type { Logger } from "./ports.ts";

/** Work that goes on after its request was answered. Disposing aborts it and waits for its end. */
export interface Background extends AsyncDisposable {
  /** Runs `work` when one of the places is free. What it throws is written to the log: it must record its own failures. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** Waits until nothing is under way. */
  idle(): Promise<void>;
}

export function createBackground({ places, log }: { places: number; log: Logger }): Background {
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();
  const waiting: (() => void)[] = [];
  let busy = 0;

  async function perform(name: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (busy >= places) await new Promise<void>((go) => waiting.push(go));
    busy++;
    try {
      await work(stopping.signal);
    } catch (error) {
      log.error("background.failed", { name, error: String(error) });
    } finally {
      busy--;
      waiting.shift()?.();
    }
  }
  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running);
  };
  return {
    run(name, work) {
      const task: Promise<void> = detached(() => perform(name, work)).finally(() => running.delete(task));
      running.add(task);
    },
    idle,
    async [Symbol.asyncDispose]() {
      stopping.abort(new Error("the platform is stopping"));
      await idle();
    },
  };
}
