import { BusError } from "../errors.ts";
import { headerBytes } from "../headers.ts";
import { type Clock, systemClock } from "../ports.ts";
import { takeLoop } from "./loop.ts";
import { createLine, type Line, type Work } from "./memory-line.ts";
import { assertJobId, jobBytes, jobHeaders, queueSettings } from "./options.ts";
import type { Job, WorkQueue, WorkQueueOptions } from "./port.ts";

export interface MemoryQueues {
  /** The same name opens the same queue; the options of the first count. @throws BusError `BUS_INVALID_KEY` */
  open(name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}

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
