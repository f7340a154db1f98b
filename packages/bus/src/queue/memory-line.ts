import type { Headers } from "../headers.ts";
import type { Clock } from "../ports.ts";
import type { QueueSettings } from "./options.ts";

export interface Work {
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
  deliveries: number;
  timer?: Disposable | undefined;
  /** Tells who has it that it no longer counts as theirs. */
  release?: (() => void) | undefined;
}

/** Gets undefined when the queue is removed. */
export type Worker = (work: Work | undefined) => void;

/** Jobs of a queue and who is at them. */
export interface Line {
  readonly open: boolean;
  readonly pending: number;
  known(id: string): boolean;
  add(work: Work): void;
  /** The next job, now or later. @returns what withdraws the request */
  wait(worker: Worker): () => void;
  done(work: Work): void;
  back(work: Work, delayMs: number): void;
  again(work: Work): void;
  close(): void;
}

/** The jobs of one queue in order, who waits for them, and the times that run. */
export function createLine(clock: Clock, { ackWaitMs, maxDeliver, duplicateWindowMs }: QueueSettings): Line {
  const all = new Set<Work>();
  let ready: Work[] = [];
  const workers = new Set<Worker>();
  const ids = new Map<string, number>();
  let open = true;

  const release = (work: Work): void => {
    work.timer?.[Symbol.dispose]();
    work.timer = undefined;
    work.release?.();
    work.release = undefined;
  };
  const forget = (work: Work): void => {
    release(work);
    if (all.delete(work)) ready = ready.filter((each) => each !== work);
  };
  const arm = (work: Work): void => {
    work.timer?.[Symbol.dispose]();
    work.timer = clock.after(ackWaitMs, () => line.back(work, 0));
  };
  const match = (): void => {
    while (ready.length > 0 && workers.size > 0) {
      const work = ready.shift() as Work;
      const [worker] = workers as unknown as [Worker];
      workers.delete(worker);
      work.deliveries++;
      arm(work);
      worker(work);
    }
  };

  const line: Line = {
    get open() {
      return open;
    },
    get pending() {
      return all.size;
    },
    known(id) {
      const now = clock.now();
      // Oldest first, so that the sweep stops at the first id that is still remembered.
      for (const [old, untilMs] of ids) {
        if (untilMs > now) break;
        ids.delete(old);
      }
      if (ids.has(id)) return true;
      ids.set(id, now + duplicateWindowMs);
      return false;
    },
    add(work) {
      all.add(work);
      ready.push(work);
      match();
    },
    wait(worker) {
      workers.add(worker);
      match();
      return () => void workers.delete(worker);
    },
    done: forget,
    back(work, delayMs) {
      if (!all.has(work)) return;
      release(work);
      if (work.deliveries >= maxDeliver) return forget(work);
      const give = (): void => {
        work.timer = undefined;
        // Before what nobody has seen yet, as the server does.
        ready.unshift(work);
        match();
      };
      if (delayMs > 0) work.timer = clock.after(delayMs, give);
      else give();
    },
    again: (work) => void (work.release && arm(work)),
    close() {
      open = false;
      for (const work of [...all]) forget(work);
      for (const worker of workers) worker(undefined);
      workers.clear();
    },
  };
  return line;
}
