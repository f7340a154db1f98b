import { afterEach, beforeEach, expect, test } from "vitest";
import { type Bus, createBus, createMemoryHub, type MemoryHub } from "@opencf/bus";
import { deaHeartbeat, deaStop, desiredApps, hmStart, hmStop } from "@opencf/bus/messages";
import { silentLogger } from "../../controller/api/ports.ts";
import { createRuntime } from "../../controller/runtime/runtime-link.ts";
import { startHealthManager } from "../../health/health-manager.ts";
import { createLeadership } from "../../leader.ts";
import { createParts, type Parts } from "../../parts.ts";

// Several candidates on one bus, each with a connection of its own, as processes have.
let parts: Parts;
let hub: MemoryHub;
beforeEach(() => {
  parts = createParts();
  hub = createMemoryHub();
});
afterEach(() => parts[Symbol.asyncDispose]());
const member = async (): Promise<Bus> => parts.use(await createBus({ transport: hub.connect() }));

test("one of two leads; the other follows at once when it leaves, under a higher number", async () => {
  const [a, b] = [await createLeadership(await member(), "reconciler", silentLogger), parts.use(await createLeadership(await member(), "reconciler", silentLogger))];
  await expect.poll(() => a.leading).toBe(true);
  expect(b.leading).toBe(false);
  expect(() => b.headers()).toThrow(expect.objectContaining({ code: "BUS_LEASE_LOST" }));
  const number = (leadership: typeof a) => Number(leadership.headers()["Opencf-Fence"]?.replace("reconciler=", ""));
  const first = number(a);
  await a[Symbol.asyncDispose]();
  await expect.poll(() => b.leading).toBe(true);
  expect(number(b)).toBeGreaterThan(first);
});

test("over a bus without shared state everybody leads, and the log says so", async () => {
  const bus = await member();
  const said: string[] = [];
  const { openBucket: _, ...transport } = bus.transport;
  const alone = await createLeadership({ ...bus, transport } as Bus, "reconciler", { ...silentLogger, warn: (event) => said.push(event) });
  expect([alone.leading, alone.headers(), said]).toEqual([true, {}, ["leader.alone"]]);
});

test("a health manager that does not lead watches and says nothing; once it leads it nudges with its number", async () => {
  const bus = await member();
  const controller = await member();
  const nudges: unknown[] = [];
  controller.subscribe(desiredApps, ({ respond }) => respond({ apps: [{ droplet: "app", version: "1", instances: 1, updated_at_ms: 0 }] }));
  controller.subscribe(hmStart, ({ body, headers }) => nudges.push([body.droplet, body.instance_index, headers?.["Opencf-Fence"]?.[0]]));
  const leadership = { leading: false, headers: () => ({ "Opencf-Fence": "reconciler=7" }) };
  const health = parts.use(startHealthManager({ bus, log: silentLogger, leadership, intervalMs: 10, settleMs: 0 }));
  await new Promise((done) => setTimeout(done, 100));
  expect([nudges, health.counts().leading]).toEqual([[], 0]);
  leadership.leading = true;
  await expect.poll(() => nudges.length).toBeGreaterThan(0);
  expect(nudges[0]).toEqual(["app", 0, "reconciler=7"]);
});

test("the controller refuses the nudge of a leader that was replaced without knowing it", async () => {
  const [bus, health] = [await member(), await member()];
  const refused: string[] = [];
  const stopped: string[] = [];
  parts.use(createRuntime({
    bus, log: { ...silentLogger, warn: (event) => refused.push(event) }, dropletUrl: () => Promise.resolve(""), desired: { desired: () => Promise.resolve([]) },
  }));
  health.subscribe(deaStop, ({ body }) => stopped.push(body.instances?.[0] ?? ""));
  health.publish(deaHeartbeat, { dea: "d", droplets: [] });
  const stop = (instance: string, fence: number) => health.publish(hmStop, {
    message_id: instance, droplet: "app", version: "1", instance_guid: instance, instance_index: 0, is_duplicate: false,
  }, { headers: { "Opencf-Fence": `reconciler=${fence}` } });
  stop("by the new leader", 8);
  stop("by the old leader", 7);
  stop("by the new leader again", 8);
  await expect.poll(() => stopped).toEqual(["by the new leader", "by the new leader again"]);
  expect(refused).toEqual(["nudge.refused"]);
});
