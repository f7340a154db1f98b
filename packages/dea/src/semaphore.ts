export interface Semaphore {
  /**
   * Waits for a free place; dispose what it gives to free it again. Rejects with the signal's reason. Who has to wait
   * is told its position, 1 for the next, at once and whenever it changes.
   */
  enter(signal: AbortSignal, moved?: (position: number) => void): Promise<Disposable>;
  /** How many wait. */
  readonly waiting: number;
}

interface Waiter {
  enter(): void;
  moved: ((position: number) => void) | undefined;
}

/** Lets `places` in at a time, the others in the order in which they came. */
export function createSemaphore(places: number): Semaphore {
  let free = places;
  const line: Waiter[] = [];
  const tellFrom = (first: number): void => {
    for (let at = first; at < line.length; at++) line[at]?.moved?.(at + 1);
  };
  const leave = (): Disposable => {
    let inside = true;
    return {
      [Symbol.dispose]() {
        if (!inside) return;
        inside = false;
        const nextOne = line.shift();
        if (!nextOne) {
          free += 1;
          return;
        }
        nextOne.enter();
        tellFrom(0);
      },
    };
  };
  return {
    get waiting() { return line.length; },
    enter(signal, moved) {
      signal.throwIfAborted();
      if (free > 0) {
        free -= 1;
        return Promise.resolve(leave());
      }
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          moved,
          enter() {
            signal.removeEventListener("abort", giveUp);
            resolve(leave());
          },
        };
        const giveUp = (): void => {
          const at = line.indexOf(waiter);
          line.splice(at, 1);
          reject(signal.reason as Error);
          tellFrom(at);
        };
        line.push(waiter);
        signal.addEventListener("abort", giveUp, { once: true });
        moved?.(line.length);
      });
    },
  };
}
