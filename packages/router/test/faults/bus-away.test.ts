import { createBus, natsTransport } from "@opencf/bus";
import { routerRegister } from "@opencf/bus/messages/route";
import { describe, expect, test } from "vitest";
import { hasNatsServer, startNatsServer } from "../../../bus/test/fixtures/nats-server.ts";
import { routesFromBus } from "../../src/bus-link.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { eventually } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";
import { startLoad } from "./load.ts";

describe.skipIf(!hasNatsServer())("on a real nats-server (apt-get install nats-server)", () => {
  for (const engine of ["undici", "native"] as const) {
    test(`13.26, 13.28 the bus killed for five minutes: routes stay, no request fails; when it is back, who is silent leaves after a full term (${engine})`, async () => {
      await using nats = await startNatsServer({ jetStream: false });
      await using bus = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
      await using registrant = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
      await using app = await httpBackend((_, response) => response.end("fine"));
      const clock = manualClock();
      await using r = await rig({ engine, clock, sources: [routesFromBus(bus)] });
      const register = (): void => registrant.publish(routerRegister, { host: app.host, port: app.port, uris: ["app.example.com"] });
      register();
      await eventually(() => r.router.table.routeCount === 1);

      const load = startLoad({ port: r.port, clients: 6 });
      await eventually(() => load.answered > 50, 20_000);
      await nats.kill();
      await eventually(() => !bus.connected, 20_000);
      for (let seconds = 0; seconds < 300; seconds += 10) {
        const before = load.answered;
        clock.advance(10_000);
        await eventually(() => load.answered > before + 5, 20_000);
        expect(r.router.table.routeCount).toBe(1);
      }

      await nats.restart();
      await eventually(() => bus.connected && registrant.connected, 30_000);
      // The first sweep after the return gives everybody a new term.
      for (let seconds = 0; seconds < 120; seconds += 10) {
        clock.advance(10_000);
        expect(r.router.table.routeCount).toBe(1);
      }
      const before = load.answered;
      await eventually(() => load.answered > before + 20, 20_000);
      await load.stop();
      expect(load.failures).toEqual({});

      // One of its connections may come back a moment after the other.
      await eventually(async () => { register(); return registrant.flush().then(() => true, () => false); }, 20_000);
      // Registered again, it stays; silent from then on, it goes.
      await eventually(() => { const at = r.router.table.lastUpdateMs; return at !== undefined && at === clock.now(); });
      clock.advance(100_000);
      expect(r.router.table.routeCount).toBe(1);
      clock.advance(120_000);
      await eventually(() => r.router.table.routeCount === 0);
    }, 120_000);
  }
});
