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

/** A route, as far as an address cares. */
export interface LeadsHere { readonly key: string }

/** A socket address and what the router knows about it, whichever routes lead there: load and health belong to the address. */
export interface Backend {
  readonly address: string;
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly serverName: string;
  /** Requests and tunnels under way, from the moment of choice to the last byte. */
  inFlight: number;
  /** Milliseconds since the epoch until which the balancer avoids this address; 0 = healthy. See `health.ts`. */
  failedUntil: number;
  /** Failures one after the other: the more, the longer it is avoided. */
  failures: number;
  /** Whether a request finds out just now if the address works again. */
  probing: boolean;
  /** The routes that lead here. */
  readonly routes: readonly LeadsHere[];
  /** Whether any does; the last one out closes the connections. */
  readonly isRouted: boolean;
  /** The app that registered itself here last: what leads here is its own, or names no app. */
  app: string;
  join(route: LeadsHere): void;
  leave(route: LeadsHere): void;
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
  /** Where the table notes that. */
  readonly place: number;
  /** Gives the place back. */
  leave(): void;
  /** Where it stands when requests are told apart by hash; 0: not worked out yet. */
  hashPoint: number;
  /** The headers that name it, as requests carry them; worked out for the first request. */
  names: EndpointNames | undefined;
}

/** What is said of an endpoint again and again: its headers as a list and as text, and what records show of it. */
export interface EndpointNames {
  readonly flat: readonly string[];
  readonly text: string;
  readonly shown: Pick<Endpoint, "address" | "app" | "instanceId" | "instanceIndex" | "tags">;
}

const noTags: Readonly<Record<string, string>> = Object.freeze({});

/** `host:port`, with brackets where the host is an IPv6 address. */
export const addressOf = (host: string, port: number): string =>
  // Joined, not added: a sum keeps its parts and its result, and a million addresses are held.
  [host.includes(":") && !host.startsWith("[") ? `[${host}]` : host, port].join(":");

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

export function createBackend(init: EndpointInit, port: number, address = addressOf(init.host, port)): Backend {
  return new HeldBackend(address, port, isTls(init), init.serverCertDomainSan ?? "");
}

const setFrom = 32;

/** A million of these may be held, so the host is not kept beside the address. */
class HeldBackend implements Backend {
  readonly address: string;
  readonly port: number;
  readonly tls: boolean;
  readonly serverName: string;
  inFlight = 0;
  failedUntil = 0;
  failures = 0;
  probing = false;
  connections: unknown = undefined;
  app = "";
  /** Mostly there is one, and a list of one would cost as much as half of this object. Of very many each must be found without a search. */
  private led: LeadsHere | LeadsHere[] | Set<LeadsHere> | undefined = undefined;

  constructor(address: string, port: number, tls: boolean, serverName: string) {
    this.address = address;
    this.port = port;
    this.tls = tls;
    this.serverName = serverName;
  }

  get host(): string {
    const { address } = this;
    const end = address.lastIndexOf(":");
    return address.startsWith("[") ? address.slice(1, end - 1) : address.slice(0, end);
  }

  get isRouted(): boolean { return this.led !== undefined; }

  get routes(): readonly LeadsHere[] {
    if (this.led === undefined) return [];
    return Array.isArray(this.led) ? this.led : this.led instanceof Set ? [...this.led] : [this.led];
  }

  join(route: LeadsHere): void {
    if (this.led === undefined) this.led = route;
    else if (this.led instanceof Set) this.led.add(route);
    else if (!Array.isArray(this.led)) this.led = [this.led, route];
    else if (this.led.length < setFrom) this.led = grown(this.led, route);
    else this.led = new Set([...this.led, route]);
  }

  leave(route: LeadsHere): void {
    if (this.led === route) this.led = undefined;
    else if (this.led instanceof Set) {
      this.led.delete(route);
      if (this.led.size === 0) this.led = undefined;
    } else if (Array.isArray(this.led)) {
      const at = this.led.indexOf(route);
      if (at >= 0) this.led.splice(at, 1);
      if (this.led.length === 1) this.led = this.led[0];
    }
  }
}

/** Whether this is the address of that host and port; asked for each heartbeat, so nothing is put together for it. */
export function isAt({ address, port: held }: Pick<Backend, "address" | "port">, host: string, port: number): boolean {
  if (held !== port) return false;
  return address.startsWith(host) ? address.charCodeAt(host.length) === 0x3a && address.indexOf(":", host.length + 1) < 0 : address === addressOf(host, port);
}

export const isTls = (init: EndpointInit): boolean => init.tlsPort !== undefined && init.tlsPort !== 0;

/** @param times where the table notes when it was heard of; without one it keeps that itself. */
export const createEndpoint = (init: EndpointInit, backend: Backend, nowMs: number, times: SeenTimes = new OwnTime()): Endpoint =>
  new HeldEndpoint(init, backend, times, times.take(nowMs));

/** When endpoints were last heard of, by places that are given out. */
export interface SeenTimes {
  take(seenMs: number): number;
  free(place: number): void;
  seenMs(place: number): number;
  set(place: number, seenMs: number): void;
}

/** Of one endpoint alone. */
class OwnTime implements SeenTimes {
  private ms = 0;
  take(seenMs: number): number { this.ms = seenMs; return 0; }
  free(): void { /* goes with its endpoint */ }
  seenMs(): number { return this.ms; }
  set(_: number, seenMs: number): void { this.ms = seenMs; }
}

/** As with backends, a million may be held. */
class HeldEndpoint implements Endpoint {
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
  hashPoint = 0;
  names: EndpointNames | undefined = undefined;
  #times: SeenTimes;
  #place: number;

  constructor(init: EndpointInit, backend: Backend, times: SeenTimes, place: number) {
    this.backend = backend;
    this.address = backend.address;
    this.app = init.app ?? "";
    this.instanceId = init.instanceId ?? "";
    this.instanceIndex = init.instanceIndex ?? "";
    this.tags = init.tags ?? noTags;
    this.staleAfterMs = init.staleAfterMs;
    this.availabilityZone = init.availabilityZone ?? "";
    this.isolationSegment = init.isolationSegment ?? "";
    this.protocol = init.protocol ?? "http1";
    this.modificationTag = init.modificationTag;
    this.source = init.source ?? "";
    this.#times = times;
    this.#place = place;
  }

  get place(): number { return this.#place; }
  get lastSeenMs(): number { return this.#times.seenMs(this.#place); }
  set lastSeenMs(seenMs: number) { this.#times.set(this.#place, seenMs); }

  leave(): void {
    const seenMs = this.lastSeenMs;
    this.#times.free(this.#place);
    this.#times = new OwnTime();
    this.#place = this.#times.take(seenMs);
  }
}

/** What would have to be registered to get this endpoint. */
export function initOf({ backend, app, instanceId, instanceIndex, tags, staleAfterMs, availabilityZone, isolationSegment, protocol, modificationTag, source }: Endpoint): EndpointInit {
  return {
    host: backend.host, ...(backend.tls ? { tlsPort: backend.port } : { port: backend.port }), app, instanceId, instanceIndex, tags, availabilityZone, isolationSegment, protocol, source,
    serverCertDomainSan: backend.serverName,
    ...(staleAfterMs === undefined ? {} : { staleAfterMs }), ...(modificationTag === undefined ? {} : { modificationTag }),
  };
}

/** A list with one more. Short ones are made anew, since `push` sets aside seventeen places at once, of which most routes need one. */
export function grown<T>(list: T[], next: T): T[] {
  if (list.length === 0) return [next];
  if (list.length < 8) return list.concat([next]);
  list.push(next);
  return list;
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

/** Whether both say the same; a missing one says nothing. */
export const sameTag = (held: ModificationTag | undefined, next: ModificationTag | undefined): boolean =>
  held !== undefined && next !== undefined && held.guid === next.guid && held.index === next.index;

function sameTags(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  if (one === other) return true;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
