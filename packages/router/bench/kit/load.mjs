// The load of a bench: as many processes as the machine has room for, asked as if they were one.
import { availableParallelism } from "node:os";

/** One core is the proxy's, one the backend's. */
export const defaultLoads = Math.max(1, Math.min(4, availableParallelism() - 2));

export async function createLoad(parts, processes = defaultLoads) {
  const url = new URL("./load-process.mjs", import.meta.url);
  const loads = await Promise.all(Array.from({ length: processes }, () => parts.node(url)));
  const all = (message) => Promise.all(loads.map((load) => load.ask(message)));
  return {
    /** @param how `{ port, connections, ca?, different? }` */
    open: ({ connections, ...how }) => all({ do: "open", connections: Math.max(1, Math.round(connections / processes)), ...how }),
    /** Gives `{ requests, errors, ms, latencies }`; of the latencies, in milliseconds, every seventh. */
    async run(ms) {
      const each = await all({ do: "run", ms });
      return {
        requests: each.reduce((sum, { requests }) => sum + requests, 0), errors: each.reduce((sum, { errors }) => sum + errors, 0),
        ms: Math.max(...each.map((one) => one.ms)), latencies: each.flatMap(({ latencies }) => latencies),
      };
    },
    close: () => all({ do: "close" }),
  };
}
