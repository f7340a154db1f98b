/** Resolves after `ms` (undefined: never), or at once when the signal aborts. Leaves neither timer nor listener. */
export function pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    // A promise alone keeps no process alive, a timer does.
    const timer = setTimeout(end, ms ?? 2_147_483_647);
    signal.addEventListener("abort", end);
    return undefined;
  });
}
