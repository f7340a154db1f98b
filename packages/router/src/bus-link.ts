import { networkInterfaces } from "node:os";
import type { Bus, Body } from "@opencf/bus";
import { routerGreet, routerRegister, routerStart, routerUnregister } from "@opencf/bus/messages/route";
import { createRepeats } from "./bus/repeats.ts";
import type { EndpointInit } from "./endpoint.ts";
import { RouterError } from "./errors.ts";
import { optionsFromWire } from "./route-options-wire.ts";
import { createOrder } from "./order.ts";
import { createPace } from "./pace.ts";
import type { RouteSource, RunningSource, SourceContext } from "./source.ts";
import { createPruner } from "./table/pruner.ts";
import type { RegisterResult } from "./table/types.ts";

type Registration = Body<typeof routerRegister>;

/** Registrations that may wait while others have their turn; what gorouter holds. Beyond that the oldest go, and their next heartbeat brings them. */
const maxPending = 131_072;
const maxPendingBytes = 134_217_728;

export interface BusRoutesOptions {
  /** Without another registration an endpoint leaves the table after this time. Default 120 000 ms. */
  staleAfterMs?: number;
  /** Time between sweeps for such endpoints. Default 30 000 ms. */
  sweepIntervalMs?: number;
  /** How often registrants are told to repeat themselves. Default 20 000 ms. */
  registerIntervalMs?: number;
  /** Addresses of this router, told to registrants. Default those of this machine's interfaces. */
  hosts?: readonly string[];
  /** Whether endpoints that fall silent while the bus is away are kept. Default true. */
  keepWhileDisconnected?: boolean;
  /** Isolation segments this router serves. Default none. */
  isolationSegments?: readonly string[];
  /** Which registrations are taken: all, those without a segment and those listed, or only those listed. Default `all`. */
  sharding?: "all" | "shared-and-segments" | "segments";
  /** For so long after the start it is not timed how late registrations are: to a router that has just begun everything is new. Default 30 000 ms. */
  muteLatencyMs?: number;
  /** Told apart from other sources of the same table by this. Default `bus`. */
  name?: string;
}

/**
 * Routes from `router.register` and `router.unregister`. Says `router.start` when it begins and whenever the bus is back,
 * since everybody answers that with their registrations, and answers `router.greet`.
 * A message or a route that makes no sense changes nothing and is logged.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function routesFromBus(bus: Bus, options: BusRoutesOptions = {}): RouteSource {
  const {
    staleAfterMs = 120_000, sweepIntervalMs = 30_000, registerIntervalMs = 20_000, hosts = ownAddresses(), keepWhileDisconnected = true,
    isolationSegments = [], sharding = "all", muteLatencyMs = 30_000, name = "bus",
  } = options;
  if (sharding === "segments" && isolationSegments.length === 0) {
    throw new RouterError("ROUTER_BAD_OPTION", "sharding \"segments\" needs isolationSegments: without any this router would take no route at all");
  }
  const admits = ({ isolation_segment: segment = "" }: Registration): boolean =>
    sharding === "all" || isolationSegments.includes(segment) || (sharding === "shared-and-segments" && segment === "");

  return {
    name,
    start({ table, routerId, log, clock }: SourceContext): RunningSource {
      const self = {
        id: routerId,
        hosts: [...hosts],
        minimumRegisterIntervalInSeconds: Math.round(registerIntervalMs / 1_000),
        pruneThresholdInSeconds: Math.round(staleAfterMs / 1_000),
      };
      const held: Disposable[] = [];
      let registrations = 0;
      let unregistrations = 0;
      let refused = 0;
      let pruned = 0;
      let timed = 0;
      let latencyMs = 0;
      const timedFromMs = clock.now() + muteLatencyMs;
      const did: Record<RegisterResult, number> = { added: 0, updated: 0, refreshed: 0, ignored: 0 };

      /** Each route by itself: one that is malformed does not cost the message its others. */
      const forEachRoute = (body: Registration, act: (uri: string) => void): void => {
        if (!admits(body)) return;
        for (const uri of body.uris) {
          try { act(uri); } catch (cause) {
            if (!(cause instanceof RouterError)) throw cause;
            refused += 1;
            log.warn("router.registration.refused", { uri, code: cause.code, error: cause.message });
          }
        }
      };

      /** Between the change at its origin and a new endpoint in the table; clocks that disagree make it no less than nothing. */
      const time = (changedMs: number): void => {
        const now = clock.now();
        if (now < timedFromMs) return;
        timed += 1;
        latencyMs += Math.max(0, now - changedMs);
      };

      const unregister = ({ host, port = 0, tls_port: tlsPort = 0, ...body }: Registration): void =>
        forEachRoute({ host, port, ...body }, (uri) => void table.unregister(uri, { host, port, tlsPort }));
      // Two subscriptions, of which one makes pauses, and still everything happens in the order in which it came.
      const order = createOrder<Registration>(unregister);
      const pace = createPace(() => order.resume(registering.pending), () => order.settle(registering.pending));
      /** Comes first for each registration, whether it can be read or not. */
      const recognise = (bytes: Uint8Array): unknown => {
        order.reach(registering.pending, registering.dropped);
        const renewed = repeats.renew(bytes);
        if (renewed === 0) return undefined;
        registrations += 1;
        did.refreshed += renewed;
        return pace.next() ?? true;
      };
      const repeats = createRepeats({ table, keepMs: staleAfterMs, clock });
      const registering = bus.subscribe(routerRegister, ({ body }) => {
        registrations += 1;
        const endpoint = endpointOf(body, { staleAfterMs, source: name });
        // An option that is not said any more returns to its default.
        const { options: routeOptions, refused: senseless } = optionsFromWire(body.options, body.route_service_url);
        for (const { name: option, value, why } of senseless) log.warn("router.registration.option", { uris: body.uris, option, value, why });
        const before = did.added;
        const refreshed = did.refreshed;
        forEachRoute(body, (uri) => { did[table.register(uri, endpoint, routeOptions)] += 1; });
        // Only what comes for the second time: many a registration is soon followed by another or by none.
        const { uris } = body;
        if (did.refreshed - refreshed === uris.length) repeats.learn(uris.length, (index, token) => table.mark(uris[index] as string, endpoint, token));
        const changedNs = body.endpoint_updated_at_ns ?? 0;
        if (changedNs !== 0 && did.added > before) time(Math.round(changedNs / 1_000_000));
        return pace.next();
      }, { concurrency: 1, maxPending, maxPendingBytes, recognise });
      held.push(registering);
      held.push(bus.subscribe(routerUnregister, ({ body }) => {
        unregistrations += 1;
        order.follow(body, registering.pending, registering.dropped);
      }));
      held.push(bus.subscribe(routerGreet, ({ respond }) => void respond(self)));
      const start = (): void => {
        try { bus.publish(routerStart, self); } catch (cause) { log.warn("router.start.unsaid", { error: String(cause) }); }
      };
      held.push(bus.onStatus((status) => {
        log.info(`router.bus.${status}`, { source: name });
        if (status === "connected") start();
      }));
      held.push(table.onChange(({ why, endpoint }) => { if (why === "stale" && endpoint.source === name) pruned += 1; }));
      held.push(createPruner(table, { sweepIntervalMs, source: name, suspended: () => keepWhileDisconnected && !bus.connected, clock, log }));
      start();
      return {
        numbers: () => ({
          connected: bus.connected ? 1 : 0, registrations, unregistrations, invalid_messages: invalidOf(bus), refused_routes: refused, ...did, pruned, timed_registrations: timed, registration_latency_ms: latencyMs,
          pending_messages: registering.pending, dropped_messages: registering.dropped,
        }),
        async [Symbol.asyncDispose]() {
          for (const one of held.splice(0).reverse()) one[Symbol.dispose]();
        },
      };
    },
  };
}

/** Messages that are none, by the catalogue. The log tells of them once a minute, this number of all. */
const invalidOf = ({ counters }: Pick<Bus, "counters">): number =>
  [routerRegister, routerUnregister].reduce((sum, { subject }) => sum + (counters.get(`${subject} invalid_message`) ?? 0), 0);

function endpointOf(body: Registration, { staleAfterMs, source }: { staleAfterMs: number; source: string }): EndpointInit {
  const ownMs = (body.stale_threshold_in_seconds ?? 0) * 1_000;
  return {
    host: body.host,
    port: body.port ?? 0,
    tlsPort: body.tls_port ?? 0,
    app: body.app ?? "",
    instanceId: body.private_instance_id ?? "",
    instanceIndex: body.private_instance_index ?? "",
    tags: body.tags ?? {},
    // A registrant may be stricter than the router, never laxer.
    staleAfterMs: ownMs === 0 || ownMs > staleAfterMs ? staleAfterMs : ownMs,
    serverCertDomainSan: body.server_cert_domain_san ?? "",
    availabilityZone: body.availability_zone ?? "",
    isolationSegment: body.isolation_segment ?? "",
    protocol: body.protocol === "http2" ? "http2" : "http1",
    source,
  };
}

function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal, family }) => !internal && family === "IPv4").map(({ address }) => address);
  return outside.length > 0 ? outside : ["127.0.0.1"];
}
