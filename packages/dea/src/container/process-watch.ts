import { markVariable } from "./mark.ts";
import type { Surroundings } from "./process-container.ts";
import { createMarkReader, type MarkedProcess, writersBelow } from "./process-table.ts";

/** How long one reading of /proc serves those who measure. */
const recentMs = 200;

/** Reads /proc for all containers of a backend: who asks in the same turn shares one reading. */
export function createProcessWatch(dir: () => string | undefined): Pick<Surroundings, "recent" | "fresh" | "writers"> {
  const readMarked = createMarkReader(markVariable);
  let list: readonly MarkedProcess[] = [];
  let listedAt = Number.NEGATIVE_INFINITY;
  let coming: Promise<readonly MarkedProcess[]> | undefined;
  let writers: { sinceTicks: number; byFile: Map<string, MarkedProcess[]> } | undefined;

  const look = (): readonly MarkedProcess[] => {
    list = readMarked();
    listedAt = performance.now();
    writers = undefined;
    return list;
  };

  return {
    recent: () => (performance.now() - listedAt > recentMs ? look() : list),
    fresh() {
      coming ??= new Promise((resolve) =>
        setImmediate(() => {
          coming = undefined;
          resolve(look());
        }),
      );
      return coming;
    },
    writers(files, sinceTicks) {
      if (!writers || writers.sinceTicks > sinceTicks) {
        const young = list.filter(({ pid, mark, startTicks }) => pid !== process.pid && mark === undefined && startTicks >= sinceTicks);
        writers = { sinceTicks, byFile: writersBelow(`${dir() ?? "/nowhere"}/`, young) };
      }
      const { byFile } = writers;
      return files.flatMap((file) => byFile.get(file) ?? []);
    },
  };
}
