import { RouterError } from "./errors.ts";

/** A route's address, taken apart: `shop.example.com` and `/admin` (empty when the route is the whole host). */
export interface RouteUri {
  readonly host: string;
  readonly path: string;
}

/**
 * Letters RFC 3986 allows in a host, `*` for wildcards and `_` because people have it in their names.
 * Everything else (a space, `<`, a control character) marks a request nobody honest sends.
 */
const hostPattern = /^(?:[a-z0-9._~!$&'()*+,;=%-]+|\[[0-9a-f:.%a-z]+\])$/;

/**
 * The host of a `Host` header, as the table knows it: lower case, without port and without the final dot.
 * Empty when there is none.
 */
export function hostOf(header: string): string {
  let end = header.length;
  if (header.charCodeAt(0) === 0x5b /* [ */) {
    const close = header.indexOf("]");
    if (close >= 0) end = close + 1;
  } else {
    const colon = header.indexOf(":");
    if (colon >= 0) end = colon;
    if (end > 0 && header.charCodeAt(end - 1) === 0x2e /* . */) end -= 1;
  }
  return (end === header.length ? header : header.slice(0, end)).toLowerCase();
}

/** Whether `host` (already lower case) can name a host at all. */
export const isHost = (host: string): boolean => hostPattern.test(host);

/** The path of a request target or of a route, without query, without fragment. Escapes stay as they are. */
export function pathOf(target: string): string {
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const fragment = path.indexOf("#");
  return fragment < 0 ? path : path.slice(0, fragment);
}

/**
 * Takes `host[/path]` apart, as registrations carry it. Query and fragment are cut, one final `/` and the port are dropped,
 * the host is lower-cased; the path keeps its case.
 * @throws {RouterError} ROUTER_BAD_URI
 */
export function parseRouteUri(uri: string): RouteUri {
  if (uri.startsWith("tcp:")) return parseTcpUri(uri);
  const whole = pathOf(uri);
  const slash = whole.indexOf("/");
  const host = hostOf(slash < 0 ? whole : whole.slice(0, slash));
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(uri);
  if (host === "" || scheme || !isHost(host)) {
    const hint = scheme ? ": write it without the scheme" : ": expected host or host/path";
    throw new RouterError("ROUTER_BAD_URI", `${JSON.stringify(uri)} is no route${hint}`);
  }
  let path = slash < 0 ? "" : whole.slice(slash);
  if (path.endsWith("/")) path = path.slice(0, -1);
  return { host, path };
}

/**
 * A TCP route: `tcp:2222`, or `tcp:5432/db.example.com` for clients that ask for that name in their TLS handshake. The host is `tcp:2222`
 * then, which no request can have: a `Host` ends at its colon.
 * @throws {RouterError} ROUTER_BAD_URI
 */
function parseTcpUri(uri: string): RouteUri {
  const match = /^tcp:(\d{1,5})(?:\/([^/?#\s]+))?$/.exec(uri);
  const port = Number(match?.[1]);
  const name = match?.[2]?.toLowerCase() ?? "";
  if (match === null || port < 1 || port > 65_535 || (name !== "" && !isHost(name))) {
    throw new RouterError("ROUTER_BAD_URI", `${JSON.stringify(uri)} is no TCP route: expected tcp:PORT or tcp:PORT/NAME`);
  }
  return { host: `tcp:${port}`, path: name === "" ? "" : `/${name}` };
}

/** The name under which a route is listed: `Shop.Example.COM/Admin/?x` is `shop.example.com/Admin`. */
export function routeKey(uri: string): string {
  const { host, path } = parseRouteUri(uri);
  return host + path;
}

/** The next wider wildcard: `a.b.c` gives `*.b.c`, that gives `*.c`, that gives undefined: a wildcard needs a label of its own. */
export function nextWildcard(host: string): string | undefined {
  const dot = host.indexOf(".", host.startsWith("*.") ? 2 : 0);
  return dot < 0 ? undefined : `*${host.slice(dot)}`;
}
