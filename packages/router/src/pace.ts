/** Keeps work that comes in floods from holding up everything else. */
export interface Pace {
  /** Asked after each piece of work: undefined says go on, a promise says when to go on, after others had their turn. */
  next(): Promise<void> | undefined;
}

const nothing = (): void => undefined;

/**
 * Work of half a millisecond in one turn of the event loop, then a pause of one turn.
 * @param before called when a pause is over, just before the work goes on; `after` in the turn that follows
 */
export function createPace(before: () => void = nothing, after: () => void = nothing): Pace {
  let begunMs = 0;
  const over = (): void => { begunMs = 0; };
  return {
    next() {
      const nowMs = performance.now();
      if (begunMs === 0) {
        begunMs = nowMs;
        setImmediate(over);
      }
      if (nowMs - begunMs < sliceMs) return undefined;
      return new Promise((resolve) => setImmediate(() => {
        before();
        resolve();
        setImmediate(after);
      }));
    },
  };
}

const sliceMs = 0.5;
