/** Work of which several want the result. It is done once: who leaves does not stop it, the last who leaves does. */
export interface SharedWork<T> {
  has(key: string): boolean;
  /** Joins the work with this key, or begins it. Rejects with the reason of the signal when that aborts, else as the work does. */
  join(key: string, begin: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Settles when nothing is under way. */
  idle(): Promise<void>;
}

interface Job<T> {
  done: Promise<T>;
  stop: AbortController;
  waiting: number;
}

export function createSharedWork<T>(): SharedWork<T> {
  const jobs = new Map<string, Job<T>>();
  const under = new Set<Promise<T>>();

  const start = (key: string, begin: (signal: AbortSignal) => Promise<T>): Job<T> => {
    const stop = new AbortController();
    const done = begin(stop.signal);
    const job = { done, stop, waiting: 0 };
    jobs.set(key, job);
    under.add(done);
    void done.catch(() => {}).then(() => {
      under.delete(done);
      if (jobs.get(key) === job) jobs.delete(key);
    });
    return job;
  };

  return {
    has: (key) => jobs.has(key),
    async join(key, begin, signal) {
      signal.throwIfAborted();
      const job = jobs.get(key) ?? start(key, begin);
      job.waiting += 1;
      let leave: () => void = () => {};
      const left = new Promise<never>((_resolve, reject) => {
        leave = () => reject(signal.reason as Error);
        signal.addEventListener("abort", leave, { once: true });
      });
      left.catch(() => {});
      try {
        return await Promise.race([job.done, left]);
      } finally {
        signal.removeEventListener("abort", leave);
        job.waiting -= 1;
        if (job.waiting === 0) {
          // Whoever comes now must not join what is being given up.
          if (jobs.get(key) === job) jobs.delete(key);
          job.stop.abort(new Error("nobody waits for it any more"));
        }
      }
    },
    async idle() {
      await Promise.allSettled(under);
    },
  };
}
