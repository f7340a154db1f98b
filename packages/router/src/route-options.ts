import { RouterError } from "./errors.ts";

/** How a pool chooses among its endpoints. On the bus the second is spelled `least-connection`. */
export const loadBalancings = ["round-robin", "least-connections", "two-choices", "hash"] as const;
export type LoadBalancing = (typeof loadBalancings)[number];

/** What may be said about a route besides its endpoints; the last registration that says something wins. */
export interface RouteOptions {
  /**
   * Default: the router's. `round-robin`: in turn. `least-connections`: the least busy. `two-choices`: the less busy of two taken
   * at random, nearly as good and as cheap in a pool of thousands. `hash`: the same client to the same endpoint.
   */
  loadBalancing?: LoadBalancing;
  /** For `hash`: the request header whose value chooses the endpoint. */
  hashHeader?: string;
  /** For `hash`: the cookie whose value chooses the endpoint, where there is no `hashHeader` or the request lacks it. */
  hashCookie?: string;
  /** For `hash`: how far above the mean load an endpoint may be, e.g. 1.25. Default 0: no bound. */
  hashBalance?: number;
  /** Session cookies of the app that tie a client to an instance. Default: the router's. */
  stickyCookieNames?: readonly string[];
  /** Requests and tunnels per address at a time. Default: the router's. 0: no limit. */
  maxConnectionsPerEndpoint?: number;
  /** Endpoints a request may be tried on. Default: the router's. */
  maxAttempts?: number;
  /** Methods that may be repeated although the app may have acted on them, e.g. `["PUT", "DELETE"]`; never with a body. Default none besides GET, HEAD, OPTIONS and TRACE. */
  retryMethods?: readonly string[];
  /** https URL of a route service. A route that has one is refused with 502 until the router can honour it. */
  routeServiceUrl?: string;
  /** Whether `CONNECT` opens a tunnel: it is handed to the app like any other request, and where the app agrees (2xx) both sides are joined. Default false: 405. */
  connect?: boolean;
}

type Check = (value: unknown) => string | undefined;

const wholeFrom = (least: number): Check => (value) =>
  Number.isInteger(value) && (value as number) >= least ? undefined : `expected a whole number from ${least} on`;
const token: Check = (value) => (typeof value === "string" && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) ? undefined : "expected a name without spaces");
const tokens: Check = (value) => (Array.isArray(value) && value.every((one) => token(one) === undefined) ? undefined : "expected a list of names without spaces");

/** What each option may be: one row per option, so that sources and the table agree. */
const checks: { readonly [K in keyof RouteOptions]-?: Check } = {
  loadBalancing: (value) => (loadBalancings.includes(value as LoadBalancing) ? undefined : `expected one of ${loadBalancings.join(", ")}`),
  hashHeader: token,
  hashCookie: token,
  hashBalance: (value) => (value === 0 || (typeof value === "number" && value >= 1 && Number.isFinite(value)) ? undefined : "expected 0, or a number from 1 on"),
  stickyCookieNames: tokens,
  maxConnectionsPerEndpoint: wholeFrom(0),
  maxAttempts: wholeFrom(1),
  retryMethods: tokens,
  routeServiceUrl: (value) => (typeof value === "string" && (value === "" || value.startsWith("https:")) ? undefined : "expected an https URL"),
  connect: (value) => (typeof value === "boolean" ? undefined : "expected true or false"),
};

/** The names of all options. */
export const routeOptionNames = Object.keys(checks) as readonly (keyof RouteOptions)[];

/** Why the value of an option makes no sense; undefined when it does. Options unknown here are somebody else's to check. */
export function whyNotOption(name: string, value: unknown): string | undefined {
  return value === undefined ? undefined : checks[name as keyof RouteOptions]?.(value);
}

/** @throws {RouterError} ROUTER_BAD_OPTION, naming the first option that makes no sense */
export function checkRouteOptions(options: RouteOptions | undefined): void {
  if (options === undefined) return;
  for (const [name, value] of Object.entries(options)) {
    const why = whyNotOption(name, value);
    if (why !== undefined) throw new RouterError("ROUTER_BAD_OPTION", `${name} ${JSON.stringify(value)}: ${why}`);
  }
  if (options.loadBalancing === "hash" && options.hashHeader === undefined && options.hashCookie === undefined) {
    throw new RouterError("ROUTER_BAD_OPTION", "loadBalancing hash needs hashHeader or hashCookie");
  }
}
