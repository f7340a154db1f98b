import { expect, test, vi } from "vitest";
import { createBus } from "@opencf/bus";
import { routerRegister, routerStart, routerUnregister } from "@opencf/bus/messages/route";
import { simulate, type Simulation } from "@opencf/bus/testing";
import { routesFromBus } from "../src/bus-link.ts";
import { createRouteTable } from "../src/index.ts";
import { silentLogger } from "../src/ports.ts";

const hosts = ["one.example.com", "two.example.com", "three.example.com"];
const registerIntervalMs = 20_000;
const staleAfterMs = 120_000;
const sweepIntervalMs = 30_000;

/** An executor: instances come and go, it says so, repeats itself, and says everything again when a router asks. */
async function emitter(sim: Simulation, name: string, address: string) {
  const clock = sim.clockOf(name);
  const bus = await createBus({ transport: sim.connect(name), clock, name });
  const running = new Map<number, string>();
  const body = (port: number): { host: string; port: number; uris: string[] } => ({ host: address, port, uris: [running.get(port) as string] });
  const registerAll = (): void => {
    for (const port of running.keys()) bus.publish(routerRegister, body(port));
  };
  const tick = (): void => {
    registerAll();
    clock.after(registerIntervalMs, tick);
  };
  bus.subscribe(routerStart, registerAll);
  tick();
  return {
    running: () => [...running].map(([port, host]) => `${host} ${address}:${port}`),
    start(port: number, host: string) {
      running.set(port, host);
      bus.publish(routerRegister, body(port));
    },
    stop() {
      const [port] = running.keys();
      if (port === undefined) return;
      bus.publish(routerUnregister, body(port));
      running.delete(port);
    },
  };
}

/** What a router knows after a time of trouble is what the executors say, once the way is free and the longest term is over. */
async function troubled(sim: Simulation): Promise<void> {
  vi.spyOn(Math, "random").mockImplementation(sim.random);
  const clock = sim.clockOf("router");
  const bus = await createBus({ transport: sim.connect("router"), clock, name: "router" });
  const table = createRouteTable({ clock });
  await using source = await routesFromBus(bus, { hosts: ["10.0.0.1"], staleAfterMs, sweepIntervalMs, registerIntervalMs }).start({ table, routerId: "router", log: silentLogger, clock });
  const emitters = [await emitter(sim, "dea 1", "10.0.1.1"), await emitter(sim, "dea 2", "10.0.1.2"), await emitter(sim, "dea 3", "10.0.1.3")];
  const known = (): string[] => hosts.flatMap((host) => (table.lookup(host, "/")?.endpoints ?? []).map(({ address }) => `${host} ${address}`)).sort();
  const said = (): string[] => emitters.flatMap((each) => each.running()).sort();
  const names = ["router", "dea 1", "dea 2", "dea 3"];
  let nextPort = 61_000;
  for (let n = 0; n < 60; n++) {
    const who = names[Math.floor(sim.random() * names.length)] as string;
    const one = emitters[Math.floor(sim.random() * emitters.length)];
    const acts: (() => void)[] = [
      () => sim.partition([who]), () => sim.heal(), () => sim.disconnect(who), () => sim.reconnect(who), () => sim.pause(who), () => sim.resume(who),
      () => one?.start(nextPort++, hosts[Math.floor(sim.random() * hosts.length)] as string), () => one?.start(nextPort++, hosts[0] as string), () => one?.stop(),
    ];
    acts[Math.floor(sim.random() * acts.length)]?.();
    await sim.advance(sim.random() * 20_000);
  }
  Object.assign(sim.faults, { drop: 0, duplicate: 0, reorder: 0 });
  sim.heal();
  for (const name of names) {
    sim.resume(name);
    sim.reconnect(name);
  }
  // What was told is known within one interval; what was not taken back goes after its term: a sweep that resumes, the term, a sweep.
  await sim.advance(registerIntervalMs + 5_000);
  expect(known()).toEqual(expect.arrayContaining(said()));
  await sim.advance(sweepIntervalMs + staleAfterMs + sweepIntervalMs + 5_000);
  expect(known()).toEqual(said());
  expect(source.numbers?.()["registrations"]).toBeGreaterThan(0);
}

test("after drops, duplicates, overtaking, partitions, broken connections and pauses the table is what the executors say", async () => {
  const report = await simulate({ name: "router table", runs: 30, faults: { drop: 0.1, duplicate: 0.05, reorder: 0.1, delayMs: [0, 200] } }, troubled);
  expect(report.faults).toBeGreaterThan(500);
}, 60_000);
