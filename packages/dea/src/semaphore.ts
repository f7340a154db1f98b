export interface Semaphore {
  /** Waits for a free place; dispose what it gives to free it again. Rejects with the signal's reason. */
  enter(signal: AbortSignal): Promise<Disposable>;
}

/** Lets `places` in at a time, the others in the order in which they came. */
export function createSemaphore(places: number): Semaphore {
  let free = places;
  const waiting: (() => void)[] = [];
  const leave = (): Disposable => {
    let inside = true;
    return {
      [Symbol.dispose]() {
        if (!inside) return;
        inside = false;
        const nextOne = waiting.shift();
        if (nextOne) nextOne();
        else free += 1;
      },
    };
  };
  return {
    enter(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free -= 1;
        return Promise.resolve(leave());
      }
      return new Promise((resolve, reject) => {
        const enter = (): void => {
          signal.removeEventListener("abort", giveUp);
          resolve(leave());
        };
        const giveUp = (): void => {
          waiting.splice(waiting.indexOf(enter), 1);
          reject(signal.reason as Error);
        };
        waiting.push(enter);
        signal.addEventListener("abort", giveUp, { once: true });
      });
    },
  };
}
