import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Backend } from "../endpoint.ts";
import type { ProxySettings } from "./settings.ts";

/** Idle connections to one address that are kept; those beyond are closed. */
const maxIdle = 256;

const kept = new WeakMap<Backend, HttpAgent>();

/**
 * The connections to an address on which apps are asked whether they want a body, where such connections are used again. They are apart from
 * those of other requests: what an app makes of a body that it has refused is then a matter among its askers.
 */
export function questionConnections(backend: Backend, { backendIdleMs }: ProxySettings): HttpAgent {
  let agent = kept.get(backend);
  if (agent === undefined) {
    const options = { keepAlive: true, maxFreeSockets: maxIdle, timeout: backendIdleMs, scheduling: "lifo" as const };
    // Whose certificate it is, is looked at for each connection.
    agent = backend.tls ? new HttpsAgent({ ...options, maxCachedSessions: 0 }) : new HttpAgent(options);
    kept.set(backend, agent);
  }
  return agent;
}
