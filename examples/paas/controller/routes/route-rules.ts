import { unprocessable } from "../api/errors.ts";

/** Hosts below the platform's own domain that its parts answer at. */
export const reservedHosts: readonly string[] = ["api", "uaa", "login", "log-cache", "doppler", "log-stream", "routing", "credhub", "ssh"];

export interface Address {
  host: string;
  path: string;
  port: number | null;
}

/** `host.domain/path`, or `domain:port`. */
export function routeUrl({ host, path, port }: Address, domain: string): string {
  return port === null ? `${host === "" ? "" : `${host}.`}${domain}${path}` : `${domain}:${port}`;
}

export interface RouteDomain {
  name: string;
  internal: boolean;
  organization_guid: string | null;
}

/** What is wrong with a route's address on a domain; one text each. */
export function addressProblems({ host, path, port }: Address, domain: RouteDomain, systemDomain: string): string[] {
  const problems: string[] = [];
  if (port !== null) problems.push("Routes with protocol 'http' do not support ports.");
  if (host !== "" && host !== "*" && !/^[\w-]+$/.test(host)) problems.push("Host must be either \"*\" or contain only alphanumeric characters, \"_\", or \"-\"");
  if (host.length > 63) problems.push("Host is too long (maximum is 63 characters)");
  else if (`${host}.${domain.name}`.length > 253) problems.push("Host combined with domain name must be no more than 253 characters");
  if (path !== "") {
    if (!path.startsWith("/")) problems.push("Path must start with a '/'");
    if (path === "/") problems.push("Path cannot be exactly '/'");
    if (path.includes("?")) problems.push("Path cannot contain a '?'");
    if (/[\s#]|[^\x20-\x7e]/.test(path)) problems.push("Path must be a valid URI path");
    if (path.length > 128) problems.push("Path is too long (maximum is 128 characters)");
  }
  if (host === "" && domain.organization_guid === null && port === null) problems.push("Missing host. Routes in shared domains must have a host defined.");
  if (domain.internal && host === "*") problems.push("Wildcard hosts are not supported for internal domains.");
  if (domain.internal && path !== "") problems.push("Paths are not supported for internal domains.");
  if (domain.name.toLowerCase() === systemDomain.toLowerCase() && reservedHosts.includes(host.toLowerCase())) problems.push("Route conflicts with a reserved system route.");
  return problems;
}

/** `Route already exists with host 'h' and path '/p' for domain 'd'.` */
export function routeTaken({ host, path, port }: Address, domain: string): string {
  const parts = [...(host === "" ? [] : [`host '${host}'`]), ...(path === "" ? [] : [`path '${path}'`]), ...(port === null ? [] : [`port '${port}'`])];
  return `Route already exists${parts.length > 0 ? ` with ${parts.join(" and ")}` : ""} for domain '${domain}'.`;
}

const algorithms = ["round-robin", "least-connection", "hash"];

/** Checks `options`; null values remove. @throws CfError 422 */
export function mergedOptions(current: Record<string, unknown>, patch: Record<string, unknown> | undefined, allowHash: boolean): Record<string, unknown> {
  if (!patch) return current;
  const merged = { ...current };
  for (const [key, value] of Object.entries(patch)) {
    if (!["loadbalancing", "hash_header", "hash_balance"].includes(key)) throw unprocessable(`Options Unknown field(s): '${key}'`);
    if (value === null) delete merged[key];
    else merged[key] = key === "hash_balance" ? String(value) : value;
  }
  const algorithm = merged["loadbalancing"];
  const usable = allowHash ? algorithms : algorithms.filter((each) => each !== "hash");
  if (algorithm !== undefined && !usable.includes(String(algorithm))) throw unprocessable(`Options Loadbalancing must be one of '${usable.join(", ")}' if present`);
  const hasHash = merged["hash_header"] !== undefined || merged["hash_balance"] !== undefined;
  if (algorithm !== "hash" && hasHash) throw unprocessable("Options Hash header and hash balance can only be set when loadbalancing is hash");
  if (algorithm === "hash" && typeof merged["hash_header"] !== "string") throw unprocessable("Options Hash header must be present when loadbalancing is set to hash");
  return merged;
}

export interface DestinationRequest {
  app: { guid: string; process?: { type: string } | undefined };
  port?: number | null | undefined;
  protocol?: string | null | undefined;
  weight?: number | null | undefined;
}

/** What is wrong with a list of destinations. Weights: only when all are replaced, all or none, 100 in sum. */
export function destinationProblems(list: readonly DestinationRequest[], isReplacement: boolean): string[] {
  const problems: string[] = [];
  const weights = list.map(({ weight }) => weight ?? null).filter((weight) => weight !== null);
  if (weights.length > 0 && !isReplacement) problems.push("Destinations cannot contain weighted destinations: replace all destinations instead");
  else if (weights.length > 0 && weights.length < list.length) problems.push("Destinations cannot contain both weighted and unweighted destinations");
  else if (weights.length > 0 && weights.reduce((sum, weight) => sum + weight, 0) !== 100) problems.push("Destinations must have weights that add up to 100");
  list.forEach(({ port, protocol }, index) => {
    if (port != null && (port < 1_024 || port > 65_535)) problems.push(`Destinations[${index}]: port must be an integer between 1024 and 65535 inclusive`);
    if (protocol === "tcp") problems.push("Destination protocol must be 'http1' or 'http2' if the parent route protocol is 'http'");
  });
  const keys = list.map((each) => `${each.app.guid} ${each.app.process?.type ?? "web"} ${each.port ?? ""}`);
  if (new Set(keys).size < keys.length) problems.push("Destinations cannot contain duplicate entries");
  return problems;
}
