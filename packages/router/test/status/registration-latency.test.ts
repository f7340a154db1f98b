import { createBus, memoryTransport, type Body } from "@opencf/bus";
import { routerRegister, routerUnregister } from "@opencf/bus/messages/route";
import { expect, test } from "vitest";
import { routesFromBus } from "../../src/bus-link.ts";
import { ask } from "../fixtures/client.ts";
import { manualClock, rig } from "../fixtures/rig.ts";

test("13.6, 13.108 the time between the change of an endpoint and its first registration is counted, but not in the beginning, when everything is new", async () => {
  await using bus = await createBus({ transport: memoryTransport() });
  const clock = manualClock();
  await using r = await rig({ sources: [routesFromBus(bus, { muteLatencyMs: 20_000 })], status: { port: 0 }, clock });
  const status = r.router.statusAddress?.port ?? 0;
  const counted = async (): Promise<unknown> => {
    const { body } = await ask(status, { path: "/metrics" });
    const varz = JSON.parse((await ask(status, { path: "/varz" })).body) as { sources: { bus: Record<string, number> } };
    const [sum, count] = ["sum", "count"].map((name) => Number(new RegExp(`^route_registration_latency_seconds_${name} (.*)$`, "m").exec(body)?.[1]));
    expect([varz.sources.bus["registration_latency_ms"], varz.sources.bus["timed_registrations"]]).toEqual([(sum as number) * 1_000, count]);
    return [sum, count];
  };
  let port = 1;
  const say = async (agoMs: number | undefined, more: Partial<Body<typeof routerRegister>> = {}): Promise<void> => {
    bus.publish(routerRegister, { host: "10.0.0.1", port, uris: ["a.example.com"], ...(agoMs === undefined ? {} : { endpoint_updated_at_ns: agoMs === 0 ? 0 : (clock.now() - agoMs) * 1_000_000 }), ...more });
    await bus.flush();
    await new Promise((resolve) => setImmediate(resolve));
  };
  // A registration from before the start, and one at the last moment of silence.
  await say(600_000);
  clock.advance(19_999);
  port = 2;
  await say(500);
  expect(await counted()).toEqual([0, 0]);

  clock.advance(1);
  port = 3;
  await say(250, { uris: ["a.example.com", "b.example.com"] });
  expect(await counted()).toEqual([0.25, 1]);
  // The same again, and the same with other labels, are no news; nor is a message that does not say when.
  await say(900);
  await say(900, { tags: { component: "x" } });
  port = 4;
  await say(undefined);
  port = 5;
  await say(0);
  expect(await counted()).toEqual([0.25, 1]);
  // A clock that is ahead of ours.
  port = 6;
  await say(-5_000);
  expect(await counted()).toEqual([0.25, 2]);
  // Gone and back is new.
  port = 3;
  bus.publish(routerUnregister, { host: "10.0.0.1", port, uris: ["a.example.com", "b.example.com"] });
  await bus.flush();
  await say(750);
  expect(await counted()).toEqual([1, 3]);
});
