import { RouterError } from "./errors.ts";

/** When two sources speak of one endpoint, the tag says who is newer. Registrations from a bus carry none. */
export interface ModificationTag { readonly guid: string; readonly index: number }

/** What whoever registers says about an endpoint. Only `host` and one port are needed. */
export interface EndpointInit {
  /** Address or name. */
  host: string;
  /** Plain HTTP port. */
  port?: number;
  /** When given it replaces `port` and the router speaks TLS to the endpoint. */
  tlsPort?: number;
  /** GUID of the app: `X-CF-ApplicationID`. */
  app?: string;
  /** Instance id: `X-CF-InstanceID` and the value of the affinity cookie. Without it there is no affinity. */
  instanceId?: string;
  /** Instance index, as text: `X-CF-InstanceIndex`. */
  instanceIndex?: string;
  /** Free labels; `component` and `process_id` are interpreted. */
  tags?: Readonly<Record<string, string>>;
  /** Without another registration the endpoint leaves the table after this time. Default: never. */
  staleAfterMs?: number;
  /** The name the endpoint's certificate must carry. */
  serverCertDomainSan?: string;
  availabilityZone?: string;
  isolationSegment?: string;
  protocol?: "http1" | "http2";
  modificationTag?: ModificationTag;
  /** Which source registered it; lets a source refresh or prune only what is its own. */
  source?: string;
}

/** A socket address and what the router knows about it, whichever routes lead there: load and health belong to the address. */
export interface Backend {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly serverName: string;
  /** Requests and tunnels under way, from the moment of choice to the last byte. */
  inFlight: number;
  /** Milliseconds since the epoch until which the balancer avoids this address; 0 = healthy. */
  failedUntil: number;
  /** Keys of the routes that lead here; the last one out closes the connections. */
  readonly routes: string[];
  /** Whatever the engine keeps per address: its connection pool. */
  connections: unknown;
}

/** One registration: an address in one pool, with the identity it was registered under. */
export interface Endpoint {
  readonly backend: Backend;
  readonly address: string;
  readonly app: string;
  readonly instanceId: string;
  readonly instanceIndex: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly staleAfterMs: number | undefined;
  readonly availabilityZone: string;
  readonly isolationSegment: string;
  readonly protocol: "http1" | "http2";
  readonly modificationTag: ModificationTag | undefined;
  readonly source: string;
  /** Milliseconds since the epoch of the last registration. */
  lastSeenMs: number;
}

const noTags: Readonly<Record<string, string>> = Object.freeze({});

/** `host:port`, with brackets where the host is an IPv6 address. */
export const addressOf = (host: string, port: number): string =>
  host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;

/** The port that counts, after checking.
 * @throws {RouterError} ROUTER_BAD_ENDPOINT */
export function effectivePort({ host, port, tlsPort }: Pick<EndpointInit, "host" | "port" | "tlsPort">): number {
  const effective = tlsPort !== undefined && tlsPort !== 0 ? tlsPort : port ?? 0;
  if (typeof host !== "string" || host === "" || /[\s/@?#]/.test(host)) {
    throw new RouterError("ROUTER_BAD_ENDPOINT", `${JSON.stringify(host)} is no host of an endpoint`);
  }
  if (!Number.isInteger(effective) || effective < 1 || effective > 65_535) {
    throw new RouterError("ROUTER_BAD_ENDPOINT", `port ${String(effective)} of ${host} is not between 1 and 65535`);
  }
  return effective;
}

export function createBackend(init: EndpointInit, port: number): Backend {
  return {
    address: addressOf(init.host, port),
    host: init.host,
    port,
    tls: isTls(init),
    serverName: init.serverCertDomainSan ?? "",
    inFlight: 0,
    failedUntil: 0,
    routes: [],
    connections: undefined,
  };
}

export const isTls = (init: EndpointInit): boolean => init.tlsPort !== undefined && init.tlsPort !== 0;

export function createEndpoint(init: EndpointInit, backend: Backend, nowMs: number): Endpoint {
  return {
    backend,
    address: backend.address,
    app: init.app ?? "",
    instanceId: init.instanceId ?? "",
    instanceIndex: init.instanceIndex ?? "",
    tags: init.tags ?? noTags,
    staleAfterMs: init.staleAfterMs,
    availabilityZone: init.availabilityZone ?? "",
    isolationSegment: init.isolationSegment ?? "",
    protocol: init.protocol ?? "http1",
    modificationTag: init.modificationTag,
    source: init.source ?? "",
    lastSeenMs: nowMs,
  };
}

/** Whether a registration says nothing new: the heartbeat, and 99 of 100 messages. */
export function isSame(endpoint: Endpoint, init: EndpointInit): boolean {
  return endpoint.app === (init.app ?? "")
    && endpoint.instanceId === (init.instanceId ?? "")
    && endpoint.instanceIndex === (init.instanceIndex ?? "")
    && endpoint.staleAfterMs === init.staleAfterMs
    && endpoint.backend.tls === isTls(init)
    && endpoint.backend.serverName === (init.serverCertDomainSan ?? "")
    && endpoint.availabilityZone === (init.availabilityZone ?? "")
    && endpoint.isolationSegment === (init.isolationSegment ?? "")
    && endpoint.protocol === (init.protocol ?? "http1")
    && endpoint.source === (init.source ?? "")
    && endpoint.modificationTag?.guid === init.modificationTag?.guid
    && endpoint.modificationTag?.index === init.modificationTag?.index
    && sameTags(endpoint.tags, init.tags ?? noTags);
}

/** Whether `next` is newer than `held`. A missing tag never stands in the way (gorouter `models.ModificationTag`). */
export const succeeds = (held: ModificationTag | undefined, next: ModificationTag | undefined): boolean =>
  held === undefined || next === undefined || held.guid === "" || next.guid === "" || held.guid !== next.guid || held.index < next.index;

function sameTags(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  if (one === other) return true;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
