import { stat } from "node:fs/promises";
import type { Clock } from "./ports.ts";

/**
 * Calls `changed` when one of the files was rewritten or replaced, whatever the file system tells of it: they are looked at.
 * While one is missing nothing is called: editors take a file away before they put the new one there.
 */
export async function watchFiles(paths: readonly string[], everyMs: number, clock: Clock, changed: () => Promise<void> | void): Promise<Disposable> {
  let stopped = false;
  let timer: Disposable | undefined;
  let seen = await stateOf(paths);

  async function look(): Promise<void> {
    const now = await stateOf(paths);
    if (!stopped && now !== undefined && now !== seen) {
      seen = now;
      await changed();
    }
    if (!stopped) timer = clock.after(everyMs, () => void look());
  }

  timer = clock.after(everyMs, () => void look());
  return {
    [Symbol.dispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
    },
  };
}

/** Undefined while a file is missing. */
async function stateOf(paths: readonly string[]): Promise<string | undefined> {
  try {
    const states = await Promise.all(paths.map((path) => stat(path, { bigint: true })));
    return states.map(({ ino, size, mtimeNs }) => `${ino}:${size}:${mtimeNs}`).join("|");
  } catch {
    return undefined;
  }
}
