import { randomUUID } from "node:crypto";
import type { Bus, Delivery, Logger, Reply } from "@opencf/bus";
import { createFence } from "@opencf/bus/kv";
import { deaFindDroplet, deaStop, deaUpdate, desiredApps, dropletExited, hmStart, hmStop, logEnvelopes } from "@opencf/bus/messages";
import { createActual, type SeenInstance } from "./actual.ts";
import { createPool, refusalWords } from "./placement.ts";
import type { ActualInstance, DesiredProcess, DesiredSource, InstanceStats, Runtime } from "./runtime.ts";
import { createStagers } from "./stagers.ts";
import { startMessage } from "./start-message.ts";

export interface Crash {
  readonly processGuid: string;
  readonly version: string;
  readonly index: number;
  readonly instanceGuid: string;
  readonly exitStatus: number;
  readonly exitDescription: string;
}

export interface RuntimeOptions {
  bus: Bus;
  desired: DesiredSource;
  /** A link under which an executor fetches a droplet. */
  dropletUrl: (dropletGuid: string) => Promise<string>;
  /** Called once per crash over all controllers. */
  onCrash?: (crash: Crash) => void | Promise<void>;
  log: Logger;
  now?: () => number;
}

/** A start that was sent counts as an instance until a heartbeat shows it, or this long. */
const pendingMs = 60_000;
const alive = new Set(["STARTING", "RUNNING"]);

/** Carries out what the database says: compares it with what heartbeats say, and speaks to executors and stagers over the bus. */
export function createRuntime({ bus, desired: source, dropletUrl, onCrash, log, now = Date.now }: RuntimeOptions): Runtime & AsyncDisposable {
  const actual = createActual(bus, { now });
  const pool = createPool(bus, { log });
  const stagers = createStagers(bus, { now });
  const pending = new Map<string, number>();
  const refusals = new Map<string, { reason: string; atMs: number }>();
  const queued = new Set<string>();
  let working: Promise<void> | undefined;
  let lastNs = 0n;
  let closed = false;

  const keyOf = ({ processGuid, version }: DesiredProcess, index: number): string => `${processGuid} ${version} ${index}`;
  const isPending = (key: string): boolean => {
    const at = pending.get(key);
    if (at === undefined) return false;
    if (now() - at < pendingMs) return true;
    pending.delete(key);
    return false;
  };

  /** Sends one instance to an executor, another one if the first refuses. */
  async function start(process: DesiredProcess, index: number): Promise<void> {
    const key = keyOf(process, index);
    if (isPending(key)) return;
    pending.set(key, now());
    const url = await dropletUrl(process.dropletGuid).catch(() => undefined);
    if (url === undefined) {
      pending.delete(key);
      refusals.set(key, { reason: "the blobstore cannot be reached", atMs: now() });
      return;
    }
    const sent = await pool.start(startMessage(process, index, url), { commandId: randomUUID(), isolationSegment: process.isolationSegment });
    // Only a heartbeat tells that it is there: until then it is pending.
    if (sent.state === "sent") return void refusals.delete(key);
    pending.delete(key);
    const reason = sent.state === "refused" ? refusalWords(sent.refusal) : "the executors cannot be reached";
    refusals.set(key, { reason, atMs: now() });
    log.warn("placement.failed", { process: process.processGuid, index, reason });
  }

  async function converge(guids: readonly string[]): Promise<void> {
    const wanted = new Map((await source.desired({ processGuids: guids })).map((process) => [process.processGuid, process]));
    const starts: Promise<void>[] = [];
    for (const guid of guids) {
      const process = wanted.get(guid);
      const seen = actual.of(guid);
      if (!process || process.instances === 0) {
        bus.publish(deaStop, { droplet: guid });
        for (const key of pending.keys()) if (key.startsWith(`${guid} `)) pending.delete(key);
        for (const key of refusals.keys()) if (key.startsWith(`${guid} `)) refusals.delete(key);
        continue;
      }
      for (const version of new Set(seen.map((each) => each.version))) if (version !== process.version) bus.publish(deaStop, { droplet: guid, version });
      const extra = seen.filter((each) => each.version === process.version && each.index >= process.instances);
      if (extra.length > 0) bus.publish(deaStop, { droplet: guid, version: process.version, instances: extra.map(({ instanceGuid }) => instanceGuid) });
      bus.publish(deaUpdate, { droplet: guid, uris: [...process.uris], ...(process.egress && { egress_network_rules: [...process.egress] }) });
      const here = seen.filter((each) => each.version === process.version);
      for (let index = 0; index < process.instances; index++)
        // A crashed one waits for the health manager, which knows how often it has crashed.
        if (!here.some((each) => each.index === index && (alive.has(each.state) || each.state === "CRASHED"))) starts.push(start(process, index));
    }
    await Promise.all(starts);
  }

  const work = async (): Promise<void> => {
    while (queued.size > 0 && !closed) {
      const guids = [...queued];
      queued.clear();
      await converge(guids).catch((error: unknown) => log.error("converge.failed", { reason: error instanceof Error ? error.message : String(error) }));
    }
    working = undefined;
  };
  const enqueue = (guids: readonly string[]): void => {
    if (closed) return;
    for (const guid of guids) queued.add(guid);
    working ??= Promise.resolve().then(work);
  };

  const merged = (guid: string): SeenInstance[] => {
    const best = new Map<number, SeenInstance>();
    const rank = { RUNNING: 4, STARTING: 3, CRASHED: 2, STOPPING: 1, DOWN: 0 } as const;
    for (const each of actual.of(guid)) {
      const other = best.get(each.index);
      if (!other || rank[each.state] > rank[other.state] || (rank[each.state] === rank[other.state] && each.sinceSeconds > other.sinceSeconds)) best.set(each.index, each);
    }
    for (const [key, { reason, atMs }] of refusals) {
      const [process, version = "", index = "0"] = key.split(" ");
      if (process === guid && !best.has(Number(index)))
        best.set(Number(index), { droplet: guid, version, index: Number(index), instanceGuid: "", state: "DOWN", sinceSeconds: atMs / 1_000, deaId: "", details: reason });
    }
    for (const [key, atMs] of pending) {
      const [process, version = "", index = "0"] = key.split(" ");
      const there = best.get(Number(index));
      if (process === guid && (!there || there.version !== version || there.state === "DOWN"))
        best.set(Number(index), { droplet: guid, version, index: Number(index), instanceGuid: "", state: "STARTING", sinceSeconds: atMs / 1_000, deaId: "" });
    }
    return [...best.values()].filter(({ state }) => state !== "STOPPING").sort((a, b) => a.index - b.index);
  };

  /** The health manager's word is only a hint: the database decides (rule R5: the receiver checks again). */
  const fence = createFence({ optional: true, forgetAfterMs: 120_000 });
  const current = ({ headers, subject }: Delivery<typeof hmStart | typeof hmStop>): boolean => {
    try {
      fence.admit(headers);
      return true;
    } catch (error) {
      // It was replaced without knowing it; who replaced it looks anew.
      log.warn("nudge.refused", { subject, reason: (error as Error).message });
      return false;
    }
  };
  const subscriptions = [
    bus.subscribe(hmStart, async (delivery) => {
      if (!current(delivery)) return;
      const { body } = delivery;
      const [process] = await source.desired({ processGuids: [body.droplet] });
      if (!process || process.version !== body.version || body.instance_index >= process.instances) return;
      const key = keyOf(process, body.instance_index);
      const there = actual.of(body.droplet).some((each) => each.version === body.version && each.index === body.instance_index && alive.has(each.state));
      if (there || (isPending(key) && !refusals.has(key))) return;
      await start(process, body.instance_index);
    }),
    bus.subscribe(hmStop, async (delivery) => {
      if (!current(delivery)) return;
      const { body } = delivery;
      const [process] = await source.desired({ processGuids: [body.droplet] });
      const wanted = process?.version === body.version && body.instance_index < process.instances;
      if (!wanted || body.is_duplicate) bus.publish(deaStop, { droplet: body.droplet, instances: [body.instance_guid] });
    }),
    bus.subscribe(desiredApps, async ({ body, respond }) => {
      const page = await source.desired({ limit: body.limit, ...(body.after !== undefined && { afterGuid: body.after }) });
      respond({ apps: page.map(({ processGuid, version, instances, updatedAtMs }) => ({ droplet: processGuid, version, instances, updated_at_ms: updatedAtMs })) });
    }),
    bus.subscribe(dropletExited, ({ body }) => {
      pending.delete(`${String(body.droplet)} ${body.version} ${body.index}`);
      // Stopped or driven away: where it is still wanted, its place is taken at once. A crash is the health manager's.
      if (body.reason !== "CRASHED") return enqueue([String(body.droplet)]);
      return onCrash?.({
        processGuid: String(body.droplet), version: body.version, index: body.index, instanceGuid: body.instance,
        exitStatus: body.exit_status ?? -1, exitDescription: body.exit_description ?? "cannot be determined",
      });
    }, { queue: "crash_event_registration" }),
  ];
  const settled = actual.onChange(() => {
    for (const { droplet, version, index } of pending.size > 0 ? actual.all() : []) {
      pending.delete(`${droplet} ${version} ${index}`);
      refusals.delete(`${droplet} ${version} ${index}`);
    }
  });

  return {
    converge: enqueue,
    instances: (guid) => merged(guid),
    async stats(guid, { signal } = {}) {
      const instances = merged(guid);
      // Only what runs has numbers; asking for others too could fill the number of answers with empty ones.
      const running = instances.filter(({ state }) => state === "RUNNING").length;
      const found = running === 0 ? []
        : await bus.gather(deaFindDroplet, { droplet: guid, include_stats: true, states: ["RUNNING"] }, { waitMs: 1_000, max: running, ...(signal && { signal }) }).catch(() => []);
      const byInstance = new Map(found.map((each) => [each.instance, each]));
      const segments = new Map(pool.hosts().flatMap(({ id, pool: segment }) => (segment === undefined ? [] : [[id, segment]])));
      return instances.map((each) => {
        const isolationSegment = segments.get(each.deaId);
        return { ...statsOf(each, byInstance.get(each.instanceGuid), now()), ...(isolationSegment !== undefined && { isolationSegment }) };
      });
    },
    stopInstance(guid, index) {
      const here = actual.of(guid).filter((each) => each.index === index && alive.has(each.state));
      if (here.length > 0) bus.publish(deaStop, { droplet: guid, instances: here.map(({ instanceGuid }) => instanceGuid) });
      return Promise.resolve();
    },
    stage: (request, options) => stagers.stage(request, options),
    cancelStaging: (appGuid) => stagers.cancel(appGuid),
    log(appGuid, line, { sourceType = "API", error = false } = {}) {
      const ns = BigInt(now()) * 1_000_000n;
      lastNs = ns > lastNs ? ns : lastNs + 1n;
      try {
        bus.publish(logEnvelopes, { envelopes: [{
          source_id: appGuid, instance_id: "0", timestamp: String(lastNs), tags: { source_type: sourceType }, type: error ? "ERR" : "OUT", payload: line,
        }] });
      } catch {
        // A line of a log is never worth a failed request.
      }
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      settled[Symbol.dispose]();
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
      await working;
      actual[Symbol.dispose]();
      pool[Symbol.dispose]();
      stagers[Symbol.dispose]();
    },
  };
}

function statsOf(instance: ActualInstance, found: Reply<typeof deaFindDroplet> | undefined, nowMs: number): InstanceStats {
  const stats = found?.stats;
  return {
    ...instance,
    uptimeSeconds: Math.max(0, Math.floor(stats?.uptime ?? nowMs / 1_000 - instance.sinceSeconds)),
    ...(stats && {
      memoryQuotaBytes: stats.mem_quota, diskQuotaBytes: stats.disk_quota, fdsQuota: stats.fds_quota, host: stats.host, port: stats.port,
      usage: { time: stats.usage.time, cpu: stats.usage.cpu, mem: Math.round(stats.usage.mem), disk: Math.round(stats.usage.disk), logRate: Math.round(stats.usage.log_rate ?? 0) },
    }),
  };
}
