import { setTimeout as wait } from "node:timers/promises";

/** Asks until the answer is neither undefined nor false, or the time is up: then the last error or `what` is the reason. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false> | T | undefined | false, { withinMs = 30_000, everyMs = 200 }: { withinMs?: number; everyMs?: number } = {}): Promise<T> {
  const deadline = Date.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}${last ? ` (${String(last)})` : ""}`, { cause: last });
    await wait(everyMs);
  }
}
