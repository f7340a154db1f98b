import { request as httpRequest, type Agent, type ClientRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Endpoint } from "../endpoint.ts";
import { backendTls } from "./backend-tls.ts";
import type { Exchange } from "./exchange.ts";

/** A request to an endpoint on a connection of its own, which nobody else will ever use, unless it is one of `agent`. */
export function requestOnItsOwn({ target, method, upgrade, context: { settings } }: Exchange, { backend }: Endpoint, headers: readonly string[], agent: Agent | false = false): ClientRequest {
  const common = {
    host: backend.host.replace(/^\[|\]$/g, ""), port: backend.port, path: target, method, headers, agent, maxHeaderSize: settings.maxResponseHeaderBytes,
    // An end of a tunnel that has ended may still hear.
    allowHalfOpen: upgrade !== undefined,
  };
  return backend.tls ? httpsRequest({ ...common, ...backendTls(backend, settings) }) : httpRequest(common);
}
