import type { Body, Bus } from "@opencf/bus";
import {
  deaAdvertise, deaDiscover, deaFindDroplet, deaHeartbeat, deaLocate, deaShutdown, deaStart, deaStartInstance, deaStatus, deaStop, deaUpdate,
  dropletExited, healthStart, instanceMetrics, logEnvelopes, routerRegister, routerStart, routerUnregister,
} from "@opencf/bus/messages";
import { createCommandLedger } from "./bus/command-ledger.ts";
import { createCountedCommands } from "./bus/counted-commands.ts";
import { discoverDelayMs } from "./bus/discover.ts";
import { advertisement, countByApp, exited, found, heartbeat, type Identity, matchesFilter, status, version } from "./bus/fields.ts";
import { createHttpCommands } from "./bus/http-commands.ts";
import type { JoinOptions, Membership } from "./bus/join-options.ts";
import { createLogRelay } from "./bus/log-relay.ts";
import { metricsMessages } from "./bus/metrics-message.ts";
import { linkReach } from "./bus/reach-link.ts";
import { createRoutes } from "./bus/routes.ts";
import { egressOf, specOfMessage, type StartMessage } from "./bus/start-message.ts";
import { linkTasks } from "./bus/task-link.ts";
import { demandLimits, promisedLimits } from "./bus/requires.ts";
import { narrows } from "./container/egress.ts";
import type { Dea } from "./dea.ts";
import { DeaError, textOf } from "./errors.ts";
import type { Instance } from "./instance/instance.ts";
import { facts } from "./instance/state.ts";
import { every, silentLogger, sleep, systemClock } from "./ports.ts";

export { followExecutors, requestOf, sendStart, sendTask } from "./bus/follow.ts";
export type { HostRuntime } from "./bus/fields.ts";
export type { JoinOptions, Membership } from "./bus/join-options.ts";
export type { ReachFace } from "./bus/reach-link.ts";

type AnyMessage = Parameters<Bus["publish"]>[0];
type Ack = { accepted: boolean; reason?: string; code?: string };

/** Makes an executor a member of a Cloud Foundry: hears commands, tells facts. Disposing leaves, as `leave()` does. */
export async function joinBus(dea: Dea, bus: Bus, options: JoinOptions = {}): Promise<Membership> {
  const { id = dea.id, zone = "default", stacks = ["cflinuxfs4"], host = dea.host, clock = systemClock, log = silentLogger } = options;
  const { heartbeatIntervalMs = 10_000, advertiseIntervalMs = 5_000, registerIntervalMs = 20_000, logFlushIntervalMs = 100, metricsIntervalMs = 30_000 } = options;
  const { isolationSegment, runtimes } = options;
  const enforces = promisedLimits(dea.backend.capabilities, options.enforces);
  const self: Identity = { id, host, zone, stacks, enforces, ...(isolationSegment !== undefined && { isolationSegment }), ...(runtimes && { runtimes }), ...(options.url !== undefined && { url: options.url }) };
  const open = new AbortController();
  const parts: Disposable[] = [];
  const ledger = createCommandLedger<Ack>(clock);
  const counted = createCountedCommands(clock);
  /** Somebody wanted these gone: their end is no reason to start them elsewhere, in an evacuation either. */
  const ordered = new WeakSet<Instance>();
  let saidGoodbye = false;
  let resting = false;
  let leaving: Promise<void> | undefined;

  const say = <M extends AnyMessage>(message: M, body: Body<M>): void => {
    try {
      bus.publish(message, body);
    } catch (error) {
      log.error("bus.publish", { subject: message.subject, error: textOf(error) });
    }
  };
  const relay = createLogRelay({ publish: (envelopes) => say(logEnvelopes, { envelopes }) });

  const beat = (): void => say(deaHeartbeat, heartbeat(self, dea.instances()));
  const goodbye = (): void => {
    if (saidGoodbye) return;
    saidGoodbye = true;
    say(deaShutdown, { id, ip: host, version, app_id_to_count: countByApp(dea.instances()) });
  };
  const advertise = (): void => {
    if (dea.accepting && !resting) say(deaAdvertise, advertisement(self, dea, counted.list()));
    else goodbye();
  };
  // Several changes in one turn are one advertisement.
  let advertisesSoon = false;
  const advertiseSoon = (): void => {
    if (advertisesSoon || open.signal.aborted) return;
    advertisesSoon = true;
    queueMicrotask(() => {
      advertisesSoon = false;
      if (!open.signal.aborted) advertise();
    });
  };

  const routes = createRoutes({ self, register: (body) => say(routerRegister, body), unregister: (body) => say(routerUnregister, body) });
  const reach = linkReach(bus, { dea: id, host, reach: options.reach, log });
  const registerAll = (): void => {
    dea.instances().forEach(routes.tell);
    reach.register();
  };

  const startInstance = async (body: StartMessage): Promise<Ack> => {
    try {
      if (resting) throw new DeaError("DEA_CLOSED", "the executor accepts no more instances", { retryable: true });
      demandLimits(body.requires, enforces);
      const { egress, ...spec } = specOfMessage(body, stacks, runtimes, dea.backend.stacks);
      const kept = dea.backend.capabilities.enforces.egress;
      // Every app of a Cloud Foundry comes with rules: where nothing keeps them, that is said and no reason to run nothing.
      if (egress && !kept && narrows(egress)) log.warn("command.start.egress", { app: spec.appId, backend: dea.backend.name });
      const instance = await dea.start(egress && kept ? { ...spec, egress } : spec);
      counted.note(instance.spec.commandId);
      log.info("command.start", { app: instance.spec.appId, index: instance.spec.index, instance: instance.id });
      return { accepted: true };
    } catch (error) {
      log.warn("command.start.rejected", { droplet: String(body.droplet), reason: textOf(error) });
      return { accepted: false, reason: textOf(error), ...(error instanceof DeaError && { code: error.code }) };
    }
  };
  /** A command is carried out once, also when it is repeated while the first is on its way, or after a restart. */
  const startOnce = async (body: StartMessage): Promise<Ack> => {
    const { command_id: command } = body;
    if (command === undefined) return await startInstance(body);
    const before = ledger.known(command) ?? (dea.instances().some(({ spec }) => spec.commandId === command) ? { accepted: true } : undefined);
    if (before) return before;
    const answer = await startInstance(body);
    // A refusal for lack of room may be another answer tomorrow.
    if (answer.accepted) ledger.remember(command, answer);
    return answer;
  };

  const update = ({ droplet, uris, version: generation, egress_network_rules: rules }: Body<typeof deaUpdate>): void => {
    const kept = dea.backend.capabilities.enforces.egress;
    if (rules && !kept && narrows(egressOf(rules))) log.warn("command.update.egress", { droplet: String(droplet), backend: dea.backend.name });
    for (const instance of dea.instances()) {
      if (instance.spec.processGuid !== String(droplet) || facts[instance.state].final) continue;
      try {
        dea.update(instance, { uris, ...(generation === undefined ? {} : { version: generation }), ...(rules && kept ? { egress: egressOf(rules) } : {}) });
      } catch (error) {
        log.warn("command.update.rejected", { droplet: String(droplet), instance: instance.id, reason: textOf(error) });
      }
    }
  };

  const statsOf = async (instance: Instance): Promise<Awaited<ReturnType<Instance["stats"]>> | undefined> =>
    await instance.stats().catch(() => undefined);

  const subscriptions = { signal: open.signal };
  parts.push(
    bus.subscribe(deaStartInstance, async ({ body, respond }) => respond(await startOnce(body)), { ...subscriptions, params: { id } }),
    bus.subscribe(deaStop, ({ body }) => {
      for (const instance of dea.instances().filter((one) => matchesFilter(body, one))) {
        if (facts[instance.state].final) dea.forget(instance);
        else {
          ordered.add(instance);
          void instance.stop();
        }
      }
    }, subscriptions),
    bus.subscribe(deaUpdate, ({ body }) => update(body), subscriptions),
    bus.subscribe(deaFindDroplet, async ({ body, respond }) => {
      await Promise.all(dea.instances().filter((one) => matchesFilter(body, one)).map(async (instance) => {
        const stats = body.include_stats && facts[instance.state].routed ? await statsOf(instance) : undefined;
        respond({ ...found(self, instance, stats, clock.now()), ...reach.found(instance, body.path) });
      }));
    }, subscriptions),
    bus.subscribe(deaStatus, async ({ respond }) => {
      const used = await Promise.all(dea.instances().map(async (instance) => (await statsOf(instance))?.memoryBytes ?? 0));
      respond(status(self, dea, used.reduce((sum, bytes) => sum + bytes, 0)));
    }, subscriptions),
    reach,
    linkTasks(dea, bus, { id, stacks, enforces, accepting: () => !resting, ...(runtimes && { runtimes }), counted: (command) => counted.note(command), changed: advertiseSoon, log }),
    bus.subscribe(deaDiscover, async ({ body, respond }) => {
      const waitMs = dea.accepting && !resting ? discoverDelayMs(body, { capacity: dea.capacity(), instancesOfApp: countByApp(dea.instances())[body.droplet] ?? 0, runtimes }) : undefined;
      if (waitMs === undefined) return;
      await sleep(clock, waitMs, open.signal);
      if (!open.signal.aborted) respond({ id, ip: host, version });
    }, subscriptions),
    bus.subscribe(deaLocate, advertise, subscriptions),
    bus.subscribe(healthStart, beat, subscriptions),
    bus.subscribe(routerStart, registerAll, subscriptions),
    bus.onStatus((now) => {
      if (now !== "connected") return;
      // Whatever was said meanwhile is lost: say all of it again.
      advertise();
      beat();
      registerAll();
    }),
    dea.on((change) => {
      const { instance } = change;
      if (change.type === "log") return relay.add(instance, change.line);
      if (change.type === "routable" || change.type === "update") {
        routes.tell(instance);
        // What was told of it as one of the old generation is no longer true.
        if (change.type === "routable" ? instance.spec.readinessCheck.type !== "process" : change.before.version !== instance.spec.version) beat();
        return;
      }
      if (change.type === "exit") say(dropletExited, exited(self, instance, !dea.accepting && !ordered.has(instance)));
      if (change.type === "state") {
        if (change.to === "STARTING") counted.note(instance.spec.commandId);
        routes.tell(instance);
        if (change.to === "RUNNING" || change.to === "EVACUATING" || change.to === "CRASHED") beat();
      }
      advertiseSoon();
    }),
    every(clock, heartbeatIntervalMs, beat, () => {}),
    every(clock, advertiseIntervalMs, advertise, () => {}),
    every(clock, registerIntervalMs, registerAll, () => {}),
    every(clock, metricsIntervalMs, () => metricsMessages(dea.instances()).forEach((body) => say(instanceMetrics, body)), () => {}),
    every(clock, logFlushIntervalMs, () => { if (bus.connected) relay.flush(); }, (error) => log.error("log.flush", { error: textOf(error) })),
  );

  say(deaStart, { id, ip: host, version });
  advertise();
  beat();
  registerAll();
  for (const instance of dea.resumed.exited) say(dropletExited, exited(self, instance, false));

  const depart = async (instances: "stop" | "keep"): Promise<void> => {
    goodbye();
    if (instances === "stop") await dea.close({ instances });
    open.abort();
    for (const part of parts) part[Symbol.dispose]();
    relay.flush();
    await bus.flush().catch(() => {});
  };
  const leave: Membership["leave"] = ({ instances = dea.onClose } = {}) => (leaving ??= depart(instances));
  const rest = (): void => {
    resting = true;
    goodbye();
  };
  const http = createHttpCommands({ start: startOnce, accepting: () => dea.accepting && !resting });
  return { id, http, leave, rest, [Symbol.asyncDispose]: () => leave() };
}
