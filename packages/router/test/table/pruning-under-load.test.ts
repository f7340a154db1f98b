import { createBus, memoryTransport } from "@opencf/bus";
import { routerRegister } from "@opencf/bus/messages/route";
import { expect, test } from "vitest";
import { routesFromBus } from "../../src/bus-link.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { startLoad } from "../faults/load.ts";

const crowd = 40_000;

for (const engine of ["undici", "native"] as const) {
  test(`13.25 while stale routes are taken out, requests find theirs; what left is counted (${engine})`, async () => {
    await using bus = await createBus({ transport: memoryTransport() });
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using r = await rig({ engine, sources: [routesFromBus(bus, { sweepIntervalMs: 50 })], status: { port: 0 } });
    const { table } = r.router;
    const number = async (name: string): Promise<number> => {
      const { body } = await ask(r.router.statusAddress?.port ?? 0, { path: "/metrics" });
      return Number(body.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ").at(-1));
    };
    bus.publish(routerRegister, { host: app.host, port: app.port, uris: ["app.example.com", "app.example.com/deep"] });
    await eventually(() => table.routeCount === 2);

    let between = 0;
    r.router.on("request", () => { if (table.routeCount > 3 && table.routeCount < crowd + 3) between += 1; });
    const load = startLoad({ port: r.port, clients: 8 });
    await eventually(() => load.answered > 20, 20_000);
    // All in one turn, so that no sweep comes before the last of them. Their children stay when they go.
    for (let n = 0; n < crowd; n += 1) table.register(`r${n}.example.com`, { host: app.host, port: app.port, staleAfterMs: -1, source: "bus" });
    table.register("r7.example.com/child", { host: app.host, port: app.port });
    await eventually(() => table.routeCount === 3, 30_000);
    await load.stop();
    expect(load.failures).toEqual({});
    expect(between).toBeGreaterThanOrEqual(4);
    expect((await ask(r.port, { host: "r7.example.com" })).status).toBe(404);
    expect((await ask(r.port, { host: "r7.example.com", path: "/child/x" })).status).toBe(200);

    expect([await number("routes_pruned"), await number("total_routes")]).toEqual([crowd, 3]);
    // The next sweeps say the same again, and tell of what left since.
    bus.publish(routerRegister, { host: app.host, port: app.port, uris: ["late.example.com"], stale_threshold_in_seconds: -1 });
    await eventually(async () => await number("routes_pruned") === crowd + 1);
    expect([await number("total_routes"), await number("registry_message{action=\"added\"}")]).toEqual([3, 3]);
  }, 90_000);
}
