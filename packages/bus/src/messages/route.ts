import { Type } from "@sinclair/typebox";
import { message } from "../schema.ts";

const Port = Type.Integer({ minimum: 0, maximum: 65_535 });

/** What a router says of itself, at start and when greeted (gorouter `mbus`). Both numbers are seconds. */
export const RouterStart = Type.Object({
  id: Type.String(),
  hosts: Type.Array(Type.String()),
  minimumRegisterIntervalInSeconds: Type.Integer(),
  pruneThresholdInSeconds: Type.Integer(),
});

/** One endpoint and the routes that lead to it (gorouter `mbus/subscriber.go`). Sending it again keeps the routes fresh. */
export const Registration = Type.Object({
  host: Type.String(),
  port: Type.Optional(Port),
  tls_port: Type.Optional(Port),
  uris: Type.Array(Type.String()),
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
    Type.Object({ loadbalancing: Type.Optional(Type.String()), hash_header: Type.Optional(Type.String()), hash_balance: Type.Optional(Type.Number()) }),
    Type.Null(),
  ])),
});

export const routerStart = message("router.start", RouterStart, {
  about: "A router has started or found the bus again: everybody registers now.", from: "router", to: "whoever registers routes",
});
export const routerGreet = message("router.greet", Type.Object({}), {
  reply: RouterStart, bare: true, about: "Who routes here, and how often should I register?", from: "whoever registers routes", to: "every router",
});
export const routerRegister = message("router.register", Registration, {
  about: "These routes lead to this endpoint. Repeated: silence means the endpoint is gone.", from: "executor, API, any component", to: "every router",
});
export const routerUnregister = message("router.unregister", Registration, {
  about: "These routes no longer lead to this endpoint.", from: "executor, API, any component", to: "every router",
});
