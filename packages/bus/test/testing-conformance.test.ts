import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { kvCases } from "../src/kv/conformance.ts";
import { createSimulation, type Simulation, type SimulationOptions } from "@opencf/bus/testing";
import type { Transport } from "@opencf/bus";
import { conformance, conformanceUsers, Skipped, type World } from "../src/conformance.ts";
import { queueCases } from "../src/queue/conformance.ts";

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

/** What a connection of a simulation has. */
type Shared = Transport & Required<Pick<Transport, "openBucket" | "openObjects" | "openQueue">>;
const connected = (sim: Simulation, name: string): Shared => sim.connect(name) as Shared;

describe("shared state in a simulation without faults", () => {
  for (const [title, check] of Object.entries(kvCases))
    test(title, async () => {
      await using world = paced();
      await check(() => Promise.resolve([connected(world.sim, "a"), connected(world.sim, "b")]));
    });

  for (const [title, check] of Object.entries(queueCases))
    test(title, async () => {
      await using world = paced();
      let n = 0;
      await check(() => Promise.resolve({ open: (name, options) => connected(world.sim, `node ${n++}`).openQueue(name, options) }));
    });

  test("51 large things are put, found, listed, replaced and deleted", async () => {
    await using world = paced();
    const [a, b] = [await connected(world.sim, "a").openObjects("blobs"), await connected(world.sim, "b").openObjects("blobs")];
    await a.put("one", new Uint8Array(300_000).fill(7));
    const found = await b.get("one");
    let size = 0;
    for await (const part of found?.data ?? []) size += part.length;
    expect([found?.info.chunks, size]).toEqual([3, 300_000]);
    expect((await b.list()).map(({ name }) => name)).toEqual(["one"]);
    await b.delete("one");
    expect(await a.info("one")).toBeUndefined();
  });
});
