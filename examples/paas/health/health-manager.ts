import { randomUUID } from "node:crypto";
import type { Bus, Logger } from "@opencf/bus";
import { desiredApps, healthStart, hmStart, hmStop } from "@opencf/bus/messages";
import { createActual } from "../controller/runtime/actual.ts";
import { type DesiredApp, emptyMemory, reconcile } from "./reconcile.ts";

export interface HealthOptions {
  bus: Bus;
  log: Logger;
  /** Who of several health managers nudges. The others watch, so that each can take over at once. Default: this one. */
  leadership?: { readonly leading: boolean; headers(): Record<string, string> };
  /** Time between passes. Default 2 000 ms. */
  intervalMs?: number;
  /** Nothing is done before this long after the start and after the bus came back: executors need time to speak. Default 12 000 ms. */
  settleMs?: number;
  now?: () => number;
}

export interface HealthManager extends AsyncDisposable {
  /** Numbers for `/varz`. */
  counts(): { total_apps: number; total_instances: number; running_instances: number; crashed_instances: number; nudges: number; passes: number; leading: number };
}

const alone = { leading: true, headers: () => ({}) };

/**
 * Compares, again and again, what should run with what does, and nudges the controller. It stores nothing and stops nothing by itself.
 * A pass that cannot see the whole desired state does nothing at all (HM9000: never act on partial data).
 */
export function startHealthManager({ bus, log, leadership = alone, intervalMs = 2_000, settleMs = 12_000, now = Date.now }: HealthOptions): HealthManager {
  const actual = createActual(bus, { now });
  const memory = emptyMemory();
  const numbers = { total_apps: 0, total_instances: 0, running_instances: 0, crashed_instances: 0, nudges: 0, passes: 0 };
  let quietUntil = now() + settleMs;
  let running: Promise<void> | undefined;
  const closing = new AbortController();
  const back = bus.onStatus((status) => {
    if (status !== "connected") return;
    quietUntil = now() + settleMs;
    bus.publish(healthStart, {});
  });
  bus.publish(healthStart, {});

  const desired = async (): Promise<DesiredApp[]> => {
    const apps: DesiredApp[] = [];
    for (let after: string | undefined; ;) {
      const page = await bus.request(desiredApps, { limit: 500, ...(after !== undefined && { after }) }, { timeoutMs: 10_000, signal: closing.signal });
      for (const { droplet, version, instances, updated_at_ms } of page.apps) apps.push({ droplet, version, instances, updatedAtMs: updated_at_ms });
      if (page.apps.length < 500) return apps;
      after = page.apps.at(-1)?.droplet;
    }
  };

  const pass = async (): Promise<void> => {
    if (!bus.connected || now() < quietUntil || !leadership.leading) return;
    const wanted = await desired();
    const seen = actual.all().map(({ droplet, version, instanceGuid, index, state, sinceSeconds }) =>
      ({ droplet, version, instance: instanceGuid, index, state, sinceMs: sinceSeconds * 1_000 }));
    Object.assign(numbers, {
      total_apps: wanted.length,
      total_instances: wanted.reduce((sum, { instances }) => sum + instances, 0),
      running_instances: seen.filter(({ state }) => state === "RUNNING").length,
      crashed_instances: seen.filter(({ state }) => state === "CRASHED").length,
      passes: numbers.passes + 1,
    });
    // Asked for again after the wait above: whoever was replaced meanwhile says nothing.
    if (!leadership.leading) return;
    const headers = leadership.headers();
    for (const nudge of reconcile(wanted, seen, memory, { nowMs: now() })) {
      numbers.nudges++;
      log.info("health.nudge", { type: nudge.type, why: nudge.why, droplet: nudge.droplet, index: nudge.index });
      if (nudge.type === "start")
        bus.publish(hmStart, { message_id: randomUUID(), droplet: nudge.droplet, version: nudge.version, instance_index: nudge.index }, { headers });
      else
        bus.publish(hmStop, {
          message_id: randomUUID(), droplet: nudge.droplet, version: nudge.version, instance_guid: nudge.instance, instance_index: nudge.index, is_duplicate: nudge.why === "duplicate",
        }, { headers });
    }
  };

  const tick = (): void => {
    running ??= pass()
      .catch((error: unknown) => {
        // No controller at the moment: apps go on, the next pass asks again.
        if (!closing.signal.aborted) log.warn("health.pass", { reason: error instanceof Error ? error.message : String(error) });
      })
      .finally(() => (running = undefined));
  };
  const timer = setInterval(tick, intervalMs);
  const first = setTimeout(tick, settleMs + 20);
  return {
    counts: () => ({ ...numbers, leading: leadership.leading ? 1 : 0 }),
    async [Symbol.asyncDispose]() {
      if (closing.signal.aborted) return;
      closing.abort(new Error("the health manager is stopping"));
      clearInterval(timer);
      clearTimeout(first);
      back[Symbol.dispose]();
      await running;
      actual[Symbol.dispose]();
    },
  };
}
