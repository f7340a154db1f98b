import type { ServerResponse } from "node:http";

/** Resolves when a reader has taken what was written for it, or `stop` says that nobody waits any more. */
export const drained = (response: ServerResponse, stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      stop.removeEventListener("abort", done);
      resolve();
    };
    response.once("drain", done);
    stop.addEventListener("abort", done, { once: true });
    if (stop.aborted) done();
  });
