import { BusError } from "../errors.ts";
import { headerBytes, type Headers } from "../headers.ts";
import { type Clock, systemClock } from "../ports.ts";
import { takeLoop } from "./loop.ts";
import { assertJobId, jobBytes, jobHeaders, type QueueSettings, queueSettings } from "./options.ts";
import type { Job, WorkQueue, WorkQueueOptions } from "./port.ts";

export interface MemoryQueues {
  /** The same name opens the same queue; the options of the first count. @throws BusError `BUS_INVALID_KEY` */
  open(name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}

interface Work {
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
  deliveries: number;
  timer?: Disposable | undefined;
  /** Tells who has it that it no longer counts as theirs. */
  release?: (() => void) | undefined;
}

/** Gets undefined when the queue is removed. */
type Worker = (work: Work | undefined) => void;

/** Work queues within the process, with the rules of a JetStream work queue. */
export function createMemoryQueues({ clock = systemClock, maxPayloadBytes = 1_048_576 }: { clock?: Clock; maxPayloadBytes?: number } = {}): MemoryQueues {
  const queues = new Map<string, Line>();
  return {
    open: async (name, options = {}) => {
      const settings = queueSettings(name, options);
      let line = queues.get(name);
      if (!line) queues.set(name, (line = createLine(clock, settings)));
      const own = line;
      return Promise.resolve(openLine(name, own, maxPayloadBytes, () => queues.get(name) === own && queues.delete(name)));
    },
  };
}

interface Line {
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

function createLine(clock: Clock, { ackWaitMs, maxDeliver, duplicateWindowMs }: QueueSettings): Line {
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

function openLine(name: string, line: Line, maxPayloadBytes: number, remove: () => void): WorkQueue {
  const closing = new AbortController();
  const check = (): void => {
    if (closing.signal.aborted) throw new BusError("BUS_CLOSED", `the work queue ${name} is closed`);
    if (!line.open) throw new BusError("BUS_NOT_FOUND", `the work queue ${name} was removed`);
  };

  const toJob = (work: Work, release: () => void): Job => {
    const delivery = work.deliveries;
    work.release = release;
    // An answer to an earlier delivery says nothing about the one that somebody else is at; only that it is done counts always.
    const mine = (): boolean => work.release === release;
    return {
      data: work.data.slice(),
      headers: work.headers,
      delivery,
      ack: () => Promise.resolve(line.done(work)),
      retry: (delayMs = 0) => void (mine() && line.back(work, delayMs)),
      working: () => void (mine() && line.again(work)),
      giveUp: () => line.done(work),
    };
  };

  return {
    name,
    add: async (data, { id, headers, signal } = {}) => {
      check();
      signal?.throwIfAborted();
      if (id !== undefined) assertJobId(id);
      const work: Work = { data: jobBytes(data), headers: jobHeaders(headers), deliveries: 0 };
      const size = work.data.length + headerBytes(work.headers);
      if (size > maxPayloadBytes) throw new BusError("BUS_PAYLOAD_TOO_LARGE", `a job of ${size} bytes is more than the queue ${name} takes (${maxPayloadBytes})`);
      if (id !== undefined && line.known(id)) return Promise.resolve(false);
      line.add(work);
      return Promise.resolve(true);
    },
    take({ atOnce, signal } = {}) {
      check();
      const pull = (stop: AbortSignal, release: () => void): Promise<Job | undefined> =>
        new Promise((done, fail) => {
          const removed = (): void => fail(new BusError("BUS_NOT_FOUND", `the work queue ${name} was removed`));
          if (!line.open) return removed();
          let withdraw = (): void => undefined;
          const end = (): void => {
            withdraw();
            done(undefined);
          };
          stop.addEventListener("abort", end, { once: true });
          withdraw = line.wait((work) => {
            stop.removeEventListener("abort", end);
            if (work) done(toJob(work, release));
            else removed();
          });
        });
      return takeLoop(pull, { atOnce, signal, closing: closing.signal });
    },
    pending: async () => {
      check();
      return Promise.resolve(line.pending);
    },
    destroy: async () => {
      check();
      line.close();
      remove();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => {
      closing.abort();
      return Promise.resolve();
    },
  };
}
