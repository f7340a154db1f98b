import { RouterError } from "./errors.ts";

/** How a pool chooses among its endpoints. On the bus the second is spelled `least-connection`. */
export const loadBalancings = ["round-robin", "least-connections", "two-choices", "hash"] as const;
export type LoadBalancing = (typeof loadBalancings)[number];

/** What may be said about a route besides its endpoints; the last registration that says something wins. What is not said is the router's. */
export interface RouteOptions {
  /**
   * `round-robin`: in turn. `least-connections`: the least busy. `two-choices`: the less busy of two taken at random, nearly as good
   * and as cheap in a pool of thousands. `hash`: the same client to the same endpoint (RFC 0042 of the Cloud Foundry community).
   */
  loadBalancing?: LoadBalancing;
  /** For `hash`: the request header whose value chooses the endpoint. */
  hashHeader?: string;
  /** For `hash`: the cookie whose value chooses the endpoint, where there is no `hashHeader` or the request lacks it. */
  hashCookie?: string;
  /** For `hash`: how far above the mean load an endpoint may be, e.g. 1.25. Default 0: no bound. */
  hashBalance?: number;
  /** Whether the first attempt prefers endpoints of the router's zone. `hash` does not ask. */
  preferZone?: boolean;
  /** Session cookies of the app that tie a client to an instance. */
  stickyCookieNames?: readonly string[];
  /** Whether `Authorization: Negotiate` ties a client to its instance, and hard: without the instance there is no answer but 502. */
  stickyForNegotiate?: boolean;
  /** Requests and tunnels per address at a time; beyond that 503. 0: no limit. */
  maxConnectionsPerEndpoint?: number;
  /** Requests that may wait for each endpoint when all are at that limit. 0: none waits. */
  maxQueuedPerEndpoint?: number;
  /** How long they wait before they get their 503. */
  queueTimeoutMs?: number;
  /** Endpoints a request may be tried on. */
  maxAttempts?: number;
  /** Methods that may be repeated although the app may have acted on them, e.g. `["PUT", "DELETE"]`; never with a body. */
  retryMethods?: readonly string[];
  /** One attempt, the whole body included. */
  endpointTimeoutMs?: number;
  /** Bytes of a request's body; beyond that 413. 0: no limit. */
  maxRequestBodyBytes?: number;
  /** Names of headers no answer of this route carries. */
  removeResponseHeaders?: readonly string[];
  /** Headers every answer of this route carries unless the app has set them. */
  addResponseHeaders?: Readonly<Record<string, string>>;
  /** Whether `CONNECT` may open a tunnel to the endpoints of this route. Default false: 405. */
  connect?: boolean;
  /** https URL of a route service that sees the requests first. Without `routeServices` of the router they are refused with 502. */
  routeServiceUrl?: string;
}

type Check = (value: unknown) => string | undefined;

const wholeFrom = (least: number, most = Number.MAX_SAFE_INTEGER): Check => (value) =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most ? undefined : `expected a whole number from ${least} on`;
/** 2^31 - 1 is where timers wrap to "at once". */
const milliseconds = wholeFrom(1, 0x7fffffff);
const flag: Check = (value) => (typeof value === "boolean" ? undefined : "expected true or false");
const token: Check = (value) => (typeof value === "string" && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) ? undefined : "expected a name without spaces");
const tokens: Check = (value) => (Array.isArray(value) && value.every((one) => token(one) === undefined) ? undefined : "expected a list of names without spaces");
const headers: Check = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    && Object.entries(value).every(([name, one]) => token(name) === undefined && typeof one === "string" && /^[\t\x20-\x7e\x80-\xff]*$/.test(one))
    ? undefined : "expected names of headers with a line of text each";

/** What each option may be: one row per option, so that sources and the table agree. */
const checks: { readonly [K in keyof RouteOptions]-?: Check } = {
  loadBalancing: (value) => (loadBalancings.includes(value as LoadBalancing) ? undefined : `expected one of ${loadBalancings.join(", ")}`),
  hashHeader: token,
  hashCookie: token,
  hashBalance: (value) => (value === 0 || (typeof value === "number" && value >= 1 && Number.isFinite(value)) ? undefined : "expected 0, or a number from 1 on"),
  preferZone: flag,
  stickyCookieNames: tokens,
  stickyForNegotiate: flag,
  maxConnectionsPerEndpoint: wholeFrom(0),
  maxQueuedPerEndpoint: wholeFrom(0),
  queueTimeoutMs: milliseconds,
  maxAttempts: wholeFrom(1),
  retryMethods: tokens,
  endpointTimeoutMs: milliseconds,
  maxRequestBodyBytes: wholeFrom(0),
  removeResponseHeaders: tokens,
  addResponseHeaders: headers,
  connect: flag,
  routeServiceUrl: (value) => (typeof value === "string" && (value === "" || value.startsWith("https:")) ? undefined : "expected an https URL"),
};

/** Every option there is. */
export const routeOptionNames = Object.keys(checks) as readonly (keyof RouteOptions)[];

/** Why the value of an option makes no sense; undefined when it does. Options unknown here are somebody else's to check. */
export function whyNotOption(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checks[name as keyof RouteOptions]?.(value);
}

/** @throws {RouterError} ROUTER_BAD_OPTION, naming the first option that makes no sense */
export function checkRouteOptions(options: RouteOptions | undefined): void {
  // A million routes say nothing, or the same as before.
  if (options === undefined || checked.has(options)) return;
  for (const [name, value] of Object.entries(options)) {
    const why = whyNotOption(name, value);
    if (why !== undefined) throw new RouterError("ROUTER_BAD_OPTION", `${name} ${JSON.stringify(value)}: ${why}`);
  }
  if (options.loadBalancing === "hash" && options.hashHeader === undefined && options.hashCookie === undefined) {
    throw new RouterError("ROUTER_BAD_OPTION", "loadBalancing hash needs hashHeader or hashCookie");
  }
}

const checked = new WeakSet<RouteOptions>();

/** Options that were checked and will not change, so that nobody has to look again. */
export function settled(options: RouteOptions): RouteOptions {
  checkRouteOptions(options);
  Object.freeze(options);
  checked.add(options);
  return options;
}

/** A million routes share one. */
export const noOptions: RouteOptions = settled({});

/** Whether two say the same, whatever the order in which they say it. */
export function sameOptions(one: RouteOptions, other: RouteOptions): boolean {
  return one === other || textOf(one) === textOf(other);
}

const textOf = (options: RouteOptions): string =>
  JSON.stringify(Object.entries(options).filter(([, value]) => value !== undefined).sort(([one], [other]) => (one < other ? -1 : 1)));
