import { Type } from "@sinclair/typebox";
import { buffer, latestPerKey } from "../policy.ts";
import { message } from "../schema.ts";
import { Nothing, Port, Strings } from "./shapes/common.ts";
import { absent, all, defaulted, textual } from "./shapes/older.ts";

/** What a router says of itself, at start and when greeted (gorouter `mbus`). Both numbers are seconds. */
export const RouterStart = Type.Object({
  id: Type.String(),
  hosts: Strings,
  minimumRegisterIntervalInSeconds: Type.Integer(),
  pruneThresholdInSeconds: Type.Integer(),
  /** Told by the routers of 2011 only. */
  version: Type.Optional(Type.Union([Type.String(), Type.Number()])),
});

/** One endpoint and the routes that lead to it (gorouter `mbus/subscriber.go`). Sending it again keeps the routes fresh. */
export const Registration = Type.Object({
  host: Type.String(),
  port: Type.Optional(Port),
  /** Where it is not 0 it stands in for `port`, with TLS. */
  tls_port: Type.Optional(Port),
  uris: Strings,
  app: Type.Optional(Type.String()),
  dea: Type.Optional(Type.String()),
  tags: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
  private_instance_id: Type.Optional(Type.String()),
  /** The index as text: the wire has it so. */
  private_instance_index: Type.Optional(Type.String()),
  stale_threshold_in_seconds: Type.Optional(Type.Integer()),
  server_cert_domain_san: Type.Optional(Type.String()),
  isolation_segment: Type.Optional(Type.String()),
  availability_zone: Type.Optional(Type.String()),
  endpoint_updated_at_ns: Type.Optional(Type.Integer()),
  route_service_url: Type.Optional(Type.String({ pattern: "^(https.*)?$" })),
  protocol: Type.Optional(Type.String()),
  options: Type.Optional(Type.Union([
    Type.Object({
      loadbalancing: Type.Optional(Type.String()), hash_header: Type.Optional(Type.String()), hash_balance: Type.Optional(Type.Number()),
      route_policy_scope: Type.Optional(Type.String()), route_policy_sources: Type.Optional(Type.String()),
    }),
    Type.Null(),
  ])),
});

/** The routers of 2011 told `{id, version}` and kept to the times that have stayed the usual ones. */
const start2011 = defaulted({ hosts: [], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 });
const start2011Words = "`{id, version}` of the first routers: no hosts, an interval of 20 s and a threshold of 120 s";
const registration2011 = all(
  textual("app", "private_instance_id", "private_instance_index"), absent("app", "dea", "private_instance_id", "private_instance_index", "route_service_url"),
);
const registration2011Words = "numbers as `app`, `private_instance_id` and `private_instance_index`; null as one of these, `dea` or `route_service_url`";

/** A silent endpoint leaves the routers' tables after this (gorouter `droplet_stale_threshold`). */
const staleMs = 120_000;

export const routerStart = message("router.start", RouterStart, {
  about: "A router has started or found the bus again: everybody registers now.",
  from: ["router"], to: ["executor", "controller", "component"], era: "v1-v2c", upgrade: start2011, older: start2011Words,
});
export const routerGreet = message("router.greet", Nothing, {
  about: "Who routes here, and how often should I register? Every router answers.",
  from: ["executor", "controller", "component"], to: ["router"], codec: "none", era: "v2a-v2c",
  reply: RouterStart, upgradeReply: start2011, olderReply: start2011Words,
});
export const routerRegister = message("router.register", Registration, {
  about: "These routes lead to this endpoint. Repeated every 20 s: silence means the endpoint is gone.",
  from: ["executor", "controller", "component"], to: ["router"], era: "v1-v2c", ttlMs: staleMs,
  onDisconnect: latestPerKey("host", "port", "tls_port", "uris"), upgrade: registration2011, older: registration2011Words,
});
export const routerUnregister = message("router.unregister", Registration, {
  about: "These routes no longer lead to this endpoint. Address and `uris` count, with `tls_port` where it was registered with one.",
  // Beyond the threshold the routers have found out by themselves.
  from: ["executor", "controller", "component"], to: ["router"], era: "v1-v2c", onDisconnect: buffer(10_000, staleMs),
  upgrade: registration2011, older: registration2011Words,
});
export const routerActiveApps = message("router.active_apps", Strings, {
  about: "Guids of the apps that had requests since the last time it was said. Compressed JSON, not plain.",
  from: ["router"], to: ["monitor"], codec: "zlib", lane: "bulk", era: "v2a-v2b",
});
