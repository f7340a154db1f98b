import type { Endpoint } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";
import { faults, type Fault } from "./fault.ts";

const appInstance = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(\d+)$/;
const processInstance = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?::(\d+))?$/;

/** An instance asked for by header: a condition on the endpoint, or the fault that tells why it cannot be one. */
export interface Target {
  readonly what: string;
  readonly matches: (endpoint: Endpoint) => boolean;
}

/** Reads `X-CF-App-Instance` (`app-guid:index`) and `X-CF-Process-Instance` (`process-guid[:index]`); the first one wins. */
export function instanceTarget(exchange: Exchange): Target | Fault | undefined {
  const app = exchange.received("x-cf-app-instance");
  if (app !== undefined && app !== "") {
    const match = appInstance.exec(app);
    if (match === null) return faults.badInstanceHeader();
    const [, guid, index] = match;
    return { what: `instance ('${index}') of app ('${guid}')`, matches: (endpoint) => endpoint.app === guid && endpoint.instanceIndex === index };
  }
  const process = exchange.received("x-cf-process-instance");
  if (process !== undefined && process !== "") {
    const match = processInstance.exec(process);
    if (match === null) return faults.badProcessHeader();
    const [, guid, index] = match;
    return {
      what: index === undefined ? `process ('${guid}')` : `instance ('${index}') of process ('${guid}')`,
      matches: (endpoint) => endpoint.tags["process_id"] === guid && (index === undefined || endpoint.instanceIndex === index),
    };
  }
  return undefined;
}
