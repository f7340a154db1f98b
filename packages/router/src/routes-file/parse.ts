import { parse } from "yaml";
import type { EndpointInit } from "../endpoint.ts";
import { RouterError } from "../errors.ts";
import { checkRouteOptions, routeOptionNames, whyNotOption, type RouteOptions } from "../route-options.ts";
import { parseRouteUri } from "../uri.ts";

/** One route of a routes file. */
export interface FileRoute {
  readonly uri: string;
  readonly endpoints: readonly EndpointInit[];
  readonly options: RouteOptions;
}

/** Options as a file spells them: `max_attempts` is `maxAttempts`. */
const optionsByName = new Map(routeOptionNames.map((name) => [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), name]));

type Field = readonly [name: keyof EndpointInit, type: "string" | "object"];
const endpointFields: Readonly<Record<string, Field>> = {
  app: ["app", "string"], instance_id: ["instanceId", "string"], instance_index: ["instanceIndex", "string"], availability_zone: ["availabilityZone", "string"],
  server_name: ["serverCertDomainSan", "string"], protocol: ["protocol", "string"], tags: ["tags", "object"],
};

/**
 * Reads what a routes file says:
 *
 *     routes:
 *       shop.example.com: [127.0.0.1:3001, 127.0.0.1:3002]
 *       shop.example.com/admin: 127.0.0.1:3003
 *       api.example.com:
 *         endpoints: [{ address: "10.0.0.7:8443", tls: true, server_name: api.internal }]
 *         load_balancing: least-connections
 *     tcp_routes:
 *       2222: [10.0.0.7:22]
 *       5432/db.example.com: 10.0.0.8:5432
 *
 * Keys beside these two are somebody else's.
 * @throws {RouterError} ROUTER_BAD_ROUTES_FILE
 */
export function parseRoutes(text: string, from = "routes file"): FileRoute[] {
  let document: unknown;
  try { document = parse(text); } catch (cause) { throw bad(from, `is no YAML: ${(cause as Error).message.split("\n")[0]}`, cause); }
  const { routes, tcp_routes: tcp } = isRecord(document) ? document : {};
  if (!isRecord(routes) && (routes !== undefined || tcp === undefined)) throw bad(from, "has no mapping \"routes\" of host (and path) to addresses");
  if (tcp !== undefined && !isRecord(tcp)) throw bad(from, "has no mapping in \"tcp_routes\" of port (and name) to addresses");
  return [
    ...Object.entries(isRecord(routes) ? routes : {}).map(([uri, value]) => routeOf(uri, value, from)),
    ...Object.entries(isRecord(tcp) ? tcp : {}).map(([port, value]) => routeOf(`tcp:${port}`, value, from)),
  ];
}

function routeOf(uri: string, value: unknown, from: string): FileRoute {
  try { parseRouteUri(uri); } catch (cause) { throw bad(from, (cause as Error).message, cause); }
  const { endpoints: given, ...rest } = isRecord(value) && value["address"] === undefined ? value : { endpoints: value };
  const listed = typeof given === "string" || isRecord(given) ? [given] : given;
  if (!Array.isArray(listed)) throw bad(from, `${uri}: expected an address such as 127.0.0.1:3000, or a list of them`);
  const options: Record<string, unknown> = {};
  for (const [name, wanted] of Object.entries(rest)) {
    const option = optionsByName.get(name);
    if (option === undefined) throw bad(from, `${uri}: ${name} is none of endpoints, ${[...optionsByName.keys()].join(", ")}`);
    const why = whyNotOption(option, wanted);
    if (why !== undefined) throw bad(from, `${uri}: ${name}: ${why}`);
    options[option] = wanted;
  }
  try { checkRouteOptions(options as RouteOptions); } catch (cause) { throw bad(from, `${uri}: ${(cause as Error).message}`, cause); }
  return { uri, endpoints: listed.map((one: unknown) => endpointOf(one, uri, from)), options: options as RouteOptions };
}

function endpointOf(given: unknown, uri: string, from: string): EndpointInit {
  if (!isRecord(given)) return addressOf(given, uri, from);
  const { address, tls = false, ...rest } = given;
  const { host, port } = addressOf(address, uri, from);
  if (typeof tls !== "boolean") throw bad(from, `${uri}: tls: expected true or false`);
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(rest)) {
    const field = endpointFields[name];
    if (field === undefined) throw bad(from, `${uri}: ${name} is none of address, tls, ${Object.keys(endpointFields).join(", ")}`);
    const [to, type] = field;
    if (typeof value !== type || value === null) throw bad(from, `${uri}: ${name}: expected ${type === "string" ? "a text" : "a mapping of texts"}`);
    fields[to] = value;
  }
  return { host, ...(tls ? { tlsPort: port } : { port }), ...fields } as EndpointInit;
}

function addressOf(given: unknown, uri: string, from: string): { host: string; port: number } {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):(\d{1,5})$/.exec(String(given));
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) throw bad(from, `${uri}: ${JSON.stringify(given)} is no address: expected host:port`);
  return { host: match[1] as string, port };
}

export const bad = (from: string, message: string, cause?: unknown): RouterError => new RouterError("ROUTER_BAD_ROUTES_FILE", `${from} ${message}`, { cause });
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
