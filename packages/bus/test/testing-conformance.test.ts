import { setTimeout as pause } from "node:timers/promises";
import { describe, test } from "vitest";
import { createSimulation, type Simulation, type SimulationOptions } from "@opencf/bus/testing";
import type { Transport } from "@opencf/bus";
import { conformance, conformanceUsers, Skipped, type World } from "@opencf/bus/conformance";

/** A simulation whose time follows the real one, for suites that know nothing of it. */
function paced(options: SimulationOptions = {}): { sim: Simulation } & AsyncDisposable {
  const sim = createSimulation({ startMs: Date.now(), traceLimit: 1_000, maxSteps: Infinity, ...options });
  let ended = false;
  const pump = (async () => {
    let last = performance.now();
    while (!ended) {
      const now = performance.now();
      await sim.advance(now - last);
      last = now;
      await pause(1);
    }
  })();
  return {
    sim,
    async [Symbol.asyncDispose]() {
      ended = true;
      await pump;
      await sim[Symbol.asyncDispose]();
    },
  };
}

/** Each connection is a node of its own. */
function worldOf(sim: Simulation): World {
  const names = new WeakMap<Transport, string>();
  let n = 0;
  const nameOf = (transport: Transport): string => names.get(transport) as string;
  return {
    async connect(options = {}) {
      const name = `node ${++n}`;
      const transport = sim.connect(name, options);
      names.set(transport, name);
      return transport;
    },
    fault: {
      disconnect: async (transport) => sim.disconnect(nameOf(transport)),
      reconnect: async (transport) => sim.reconnect(nameOf(transport)),
    },
    users: true,
    slow: {
      tooManyBytes: 8 * 1_048_576,
      async hold(transport) {
        sim.pause(nameOf(transport));
        return async () => sim.resume(nameOf(transport));
      },
      told: true,
    },
    objects: {
      countChunks: async (store) => [...sim.chunksOf(store).values()].flat().length,
      async tamper(store) {
        const last = [...sim.chunksOf(store).values()].flat().at(-1);
        if (last) last[0] = (last[0] ?? 0) ^ 1;
      },
    },
  };
}

describe("the suite of transports in a simulation without faults", () => {
  for (const [title, play] of Object.entries(conformance))
    test(title, async (context) => {
      await using paces = paced({ users: conformanceUsers, maxPendingBytes: 1_048_576 * 4 });
      try {
        await play(worldOf(paces.sim));
      } catch (error) {
        if (!(error instanceof Skipped)) throw error;
        context.skip(`${error.message}: there is one network and no server to move away from`);
      }
    }, 60_000);
});
