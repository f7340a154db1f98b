import { noOptions, settled, whyNotOption, type LoadBalancing, type RouteOptions } from "./route-options.ts";

/** How an option is called where messages, files and `/routes` speak of it. */
interface WireName {
  readonly option: keyof RouteOptions;
  readonly wire: string;
  /** In `/routes`, where that is another name. */
  readonly shown?: string;
}

/** The first three are gorouter's and those of RFC 0042, the rest is ours. Times are milliseconds, sizes bytes. */
const names: readonly WireName[] = [
  { option: "loadBalancing", wire: "loadbalancing", shown: "load_balancing_algorithm" },
  { option: "hashHeader", wire: "hash_header" },
  { option: "hashBalance", wire: "hash_balance" },
  { option: "hashCookie", wire: "hash_cookie" },
  { option: "preferZone", wire: "prefer_zone" },
  { option: "stickyCookieNames", wire: "sticky_cookie_names" },
  { option: "stickyForNegotiate", wire: "sticky_for_negotiate" },
  { option: "maxConnectionsPerEndpoint", wire: "max_conns" },
  { option: "maxQueuedPerEndpoint", wire: "max_queued" },
  { option: "queueTimeoutMs", wire: "queue_timeout_ms" },
  { option: "maxAttempts", wire: "max_attempts" },
  { option: "retryMethods", wire: "retry_methods" },
  { option: "endpointTimeoutMs", wire: "endpoint_timeout_ms" },
  { option: "maxRequestBodyBytes", wire: "max_request_body_bytes" },
  { option: "removeResponseHeaders", wire: "remove_response_headers" },
  { option: "addResponseHeaders", wire: "add_response_headers" },
  { option: "connect", wire: "connect" },
];

/** A route's option that was not taken, and why. */
export interface RefusedOption {
  readonly name: string;
  readonly value: unknown;
  readonly why: string;
}

/** The same words again and again, for each heartbeat: what they mean is worked out once. */
const read = new Map<string, { options: RouteOptions; refused: readonly RefusedOption[] }>();
const mostRead = 1_000;

/**
 * Reads options as messages and files write them. What is empty or null is not said; what makes no sense is left out and named;
 * names that are none of these are others' business.
 */
export function optionsFromWire(given: Readonly<Record<string, unknown>> | null | undefined, routeServiceUrl = ""): { options: RouteOptions; refused: readonly RefusedOption[] } {
  if (routeServiceUrl === "" && (given === undefined || given === null)) return nothingSaid;
  const text = `${routeServiceUrl}\n${JSON.stringify(given ?? null)}`;
  let known = read.get(text);
  if (known === undefined) {
    if (read.size >= mostRead) read.clear();
    read.set(text, known = parse(given ?? {}, routeServiceUrl));
  }
  return known;
}

const nothingSaid = { options: noOptions, refused: [] as readonly RefusedOption[] };

function parse(given: Readonly<Record<string, unknown>>, routeServiceUrl: string): { options: RouteOptions; refused: readonly RefusedOption[] } {
  const options: Record<string, unknown> = {};
  const refused: RefusedOption[] = [];
  for (const { option, wire } of names) {
    const said = given[wire];
    if (said === undefined || said === null || said === "") continue;
    const value = option === "loadBalancing" && said === "least-connection" ? "least-connections" : said;
    const why = whyNotOption(option, value);
    if (why === undefined) options[option] = value;
    else refused.push({ name: wire, value: said, why });
  }
  if (options["loadBalancing"] === "hash" && options["hashHeader"] === undefined && options["hashCookie"] === undefined) {
    delete options["loadBalancing"];
    refused.push({ name: "loadbalancing", value: "hash", why: "needs hash_header or hash_cookie" });
  }
  if (options["loadBalancing"] !== "hash") for (const name of ["hashHeader", "hashCookie", "hashBalance"]) delete options[name];
  if (routeServiceUrl !== "") options["routeServiceUrl"] = routeServiceUrl;
  return { options: Object.keys(options).length === 0 ? noOptions : settled(options as RouteOptions), refused };
}

/** What is said of a route, as `/routes` shows it. */
export function optionsToWire(options: RouteOptions): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  if (options.routeServiceUrl) out["route_service_url"] = options.routeServiceUrl;
  for (const { option, wire, shown = wire } of names) {
    const value = options[option];
    if (value === undefined || (option === "hashBalance" && value === 0)) continue;
    out[shown] = option === "loadBalancing" ? wireAlgorithm(value as LoadBalancing) : value;
  }
  return out;
}

const wireAlgorithm = (algorithm: LoadBalancing): string => (algorithm === "least-connections" ? "least-connection" : algorithm);
