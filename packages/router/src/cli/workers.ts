import cluster, { type Worker } from "node:cluster";
import type { Address } from "../listen.ts";
import { checkStatusOptions, createStatusListener, type StatusOptions } from "../status.ts";
import { createLink } from "./fleet/link.ts";
import { createFleet } from "./fleet/view.ts";
import { watchHandover } from "./handover.ts";
import { sayLine } from "./say.ts";
import type { World } from "./world.ts";

/** How a worker learns which one it is: from 1 on, and the same again after it was replaced. */
export const workerVariable = "OPENCF_ROUTER_WORKER";
/** How it learns where the status of all workers is shown: `host:port`. */
export const statusVariable = "OPENCF_ROUTER_STATUS";

/** Between the death of a worker and its successor. */
const respawnMs = 1_000;

/**
 * Runs this program `count` times on the same port; each holds the whole table. Signals are passed on, a worker that dies is replaced.
 * The status of all of them is shown here, as one router's.
 * @returns the exit code: that of a worker which could not start, else 0
 * @throws {RouterError} ROUTER_BAD_OPTION, ROUTER_PORT_TAKEN, ROUTER_PORT_FORBIDDEN, ROUTER_LISTEN_FAILED
 */
export async function runWorkers(count: number, status: StatusOptions | undefined, world: Pick<World, "stderr" | "onSignal">): Promise<number> {
  if (status !== undefined) checkStatusOptions(status);
  const fleet = createFleet(count);
  const shown = status === undefined ? undefined : await createStatusListener(status, fleet.view);
  try {
    return await run(count, shown?.address, fleet, world);
  } finally {
    await shown?.[Symbol.asyncDispose]();
  }
}

function run(count: number, status: Address | undefined, fleet: ReturnType<typeof createFleet>, world: Pick<World, "stderr" | "onSignal">): Promise<number> {
  return new Promise((resolve) => {
    const alive = new Set<Worker>();
    let stopping = false;
    let result = 0;

    const send = (signal: NodeJS.Signals): void => { for (const worker of alive) worker.process.kill(signal); };
    const start = (index: number): void => {
      if (stopping) return;
      const worker = cluster.fork({ [workerVariable]: String(index), ...(status === undefined ? {} : { [statusVariable]: JSON.stringify(status) }) });
      let listened = false;
      alive.add(worker);
      watchHandover(worker, () => [...alive].find((other) => other !== worker && other.isConnected()));
      fleet.joined(index, worker.process.pid ?? 0, createLink({
        // One that is dying cannot be written to; whoever waits for it has a deadline.
        send: (message) => { if (worker.isConnected()) worker.send(message, () => undefined); },
        onMessage: (hear) => void worker.on("message", hear),
      }));
      worker.on("listening", () => { listened = true; });
      worker.on("exit", (code, signal) => {
        alive.delete(worker);
        fleet.left(index);
        if (!stopping && listened) {
          sayLine(world, "router.worker.died", { worker: index, code, signal });
          setTimeout(start, respawnMs, index);
          return;
        }
        // One that cannot even start would not start the next time either.
        if (!stopping) {
          stopping = true;
          result = code || 1;
          send("SIGTERM");
        }
        if (alive.size === 0) resolve(result);
      });
    };

    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"] as const) {
      world.onSignal(signal, () => {
        if (signal !== "SIGHUP") {
          stopping = true;
          fleet.drain();
        }
        // A terminal sends SIGINT to the workers as well; they ignore that one and listen to this.
        send(signal === "SIGINT" ? "SIGTERM" : signal);
        if (alive.size === 0 && stopping) resolve(result);
      });
    }
    for (let index = 1; index <= count; index += 1) start(index);
  });
}
