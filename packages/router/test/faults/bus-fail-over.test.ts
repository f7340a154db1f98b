import { createBus, natsTransport } from "@opencf/bus";
import { routerRegister, routerStart } from "@opencf/bus/messages/route";
import { describe, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { hasNatsServer, startNatsServer } from "../../../bus/test/fixtures/nats-server.ts";
import { routesFromBus } from "../../src/bus-link.ts";
import type { Logger } from "../../src/index.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { eventually } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";
import { startLoad } from "./load.ts";

describe.skipIf(!hasNatsServer())("on real nats-servers (apt-get install nats-server)", () => {
  for (const engine of ["undici", "native"] as const) {
    for (const keepWhileDisconnected of [true, false]) {
      test(`13.28 fail-over to a second server within the term of a registration: no route leaves, no request fails, what happens is logged (${engine}, ${keepWhileDisconnected ? "" : "not "}keeping routes meanwhile)`, async () => {
        await using first = await startNatsServer({ jetStream: false });
        // Nobody is there yet, so that everybody begins at the first.
        const secondPort = await freePort();
        const transport = () => natsTransport({ servers: [first.url, `nats://127.0.0.1:${secondPort}`] });
        await using bus = await createBus({ transport: transport() });
        await using registrant = await createBus({ transport: transport() });
        await using app = await httpBackend((_, response) => response.end("fine"));
        const clock = manualClock();
        const logged: string[] = [];
        const note = (event: string): void => { if (event.startsWith("router.bus.") || event.startsWith("router.prune.") || event.endsWith("unsaid")) logged.push(event); };
        const log: Logger = { info: note, warn: note, error: note };
        const register = (): void => registrant.publish(routerRegister, { host: app.host, port: app.port, uris: ["app.example.com"] });
        let starts = 0;
        registrant.subscribe(routerStart, () => { starts += 1; register(); });
        await registrant.flush();
        await using r = await rig({ engine, clock, log, sources: [routesFromBus(bus, { keepWhileDisconnected })] });
        const left: string[] = [];
        r.router.table.onChange(({ type, route }) => { if (type === "removed") left.push(route); });
        await eventually(() => r.router.table.routeCount === 1 && starts === 1);

        const load = startLoad({ port: r.port, clients: 4 });
        await eventually(() => load.answered > 20, 20_000);
        await first.kill();
        await eventually(() => !bus.connected && !registrant.connected, 20_000);
        // Not yet a whole term: with two sweeps in it.
        clock.advance(70_000);
        await using second = await startNatsServer({ jetStream: false, port: secondPort });
        await eventually(() => bus.connected && registrant.connected, 30_000);
        expect(second.running).toBe(true);

        const alone = load.answered;
        await eventually(() => load.answered > alone + 20, 20_000);
        // Asked again by the router; whoever is back later than it has missed that, and repeats itself in any case.
        await eventually(async () => { register(); await registrant.flush().catch(() => undefined); return r.router.table.lastUpdateMs === clock.now(); }, 20_000);
        // What was said on both sides since the return has been heard; one connection of a bus may come back a moment after the other.
        for (const one of [bus, registrant, registrant, bus]) await eventually(() => one.flush().then(() => true, () => false), 20_000);
        // Beyond the term of what was said at the first server.
        clock.advance(100_000);
        const later = load.answered;
        await eventually(() => load.answered > later + 20, 20_000);
        await load.stop();
        expect([load.failures, left, r.router.table.routeCount]).toEqual([{}, [], 1]);
        expect(logged.filter((event) => event.startsWith("router.bus."))).toEqual(["router.bus.disconnected", "router.bus.connected"]);
        expect(logged.filter((event) => event.startsWith("router.prune."))).toEqual(keepWhileDisconnected ? ["router.prune.suspended", "router.prune.resumed"] : []);

        // And the second one is no lesser server: silent from now on, the app leaves after its term.
        clock.advance(300_000);
        expect([r.router.table.routeCount, left]).toEqual([0, ["app.example.com"]]);
      }, 90_000);
    }
  }
});
