import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import type { EndpointInit } from "./endpoint.ts";
import { RouterError } from "./errors.ts";
import { loadBalancings, type RouteOptions } from "./pool.ts";
import type { RouteSource } from "./source.ts";
import type { RouteTable } from "./table/route-table.ts";
import { parseRouteUri } from "./uri.ts";

/** One route of a routes file. */
export interface FileRoute {
  readonly uri: string;
  readonly endpoints: readonly EndpointInit[];
  readonly options: RouteOptions;
}

export interface FileSource extends RouteSource {
  /** Reads the file again and changes what differs. A file that makes no sense changes nothing. */
  reload(): Promise<void>;
}

/**
 * Reads what a routes file says:
 *
 *     routes:
 *       shop.example.com: [127.0.0.1:3001, 127.0.0.1:3002]
 *       shop.example.com/admin: 127.0.0.1:3003
 *       api.example.com:
 *         endpoints: ["127.0.0.1:3004"]
 *         load_balancing: least-connections
 * @throws {RouterError} ROUTER_BAD_ROUTES_FILE
 */
export function parseRoutes(text: string, from = "routes file"): FileRoute[] {
  let document: unknown;
  try { document = parse(text); } catch (cause) { throw bad(from, `is no YAML: ${(cause as Error).message.split("\n")[0]}`, cause); }
  const routes = isRecord(document) ? document["routes"] : undefined;
  if (!isRecord(routes)) throw bad(from, "has no mapping \"routes\" of host (and path) to addresses");
  return Object.entries(routes).map(([uri, value]) => {
    try { parseRouteUri(uri); } catch (cause) { throw bad(from, (cause as Error).message, cause); }
    const entry = isRecord(value) ? value : { endpoints: value };
    const listed = typeof entry["endpoints"] === "string" ? [entry["endpoints"]] : entry["endpoints"];
    if (!Array.isArray(listed)) throw bad(from, `${uri}: expected an address such as 127.0.0.1:3000, or a list of them`);
    const options: RouteOptions = {};
    const wanted = entry["load_balancing"];
    if (wanted !== undefined) {
      const known = loadBalancings.find((one) => one === wanted);
      if (known === undefined) throw bad(from, `${uri}: load_balancing is one of ${loadBalancings.join(", ")}`);
      options.loadBalancing = known;
    }
    if (typeof entry["hash_header"] === "string") options.hashHeader = entry["hash_header"];
    return { uri, endpoints: listed.map((address) => endpointAt(String(address), uri, from)), options };
  });
}

/** Keeps a table as a file says. @throws {RouterError} ROUTER_BAD_ROUTES_FILE, when it starts */
export function routesFromFile(path: string): FileSource {
  let table: RouteTable | undefined;
  let applied = new Map<string, { uri: string; endpoint: EndpointInit }>();

  async function reload(): Promise<void> {
    let text: string;
    try { text = await readFile(path, "utf8"); } catch (cause) { throw bad(path, `cannot be read: ${(cause as Error).message}`, cause); }
    const next = new Map<string, { uri: string; endpoint: EndpointInit }>();
    const routes = parseRoutes(text, path);
    if (table === undefined) return;
    for (const { uri, endpoints, options } of routes) {
      endpoints.forEach((endpoint, index) => {
        next.set(`${uri} ${endpoint.host} ${endpoint.port}`, { uri, endpoint });
        table?.register(uri, { ...endpoint, instanceIndex: String(index), source: `file ${path}` }, options);
      });
    }
    for (const [key, { uri, endpoint }] of applied) if (!next.has(key)) table.unregister(uri, endpoint);
    applied = next;
  }

  return {
    name: `file ${path}`,
    reload,
    async start(context) {
      table = context.table;
      await reload();
      return { async [Symbol.asyncDispose]() { table = undefined; } };
    },
  };
}

function endpointAt(address: string, uri: string, from: string): EndpointInit {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):(\d{1,5})$/.exec(address);
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) throw bad(from, `${uri}: ${JSON.stringify(address)} is no address: expected host:port`);
  return { host: match[1] as string, port };
}

const bad = (from: string, message: string, cause?: unknown): RouterError => new RouterError("ROUTER_BAD_ROUTES_FILE", `${from} ${message}`, { cause });
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
