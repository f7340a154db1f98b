import { readFile } from "node:fs/promises";
import type { EndpointInit } from "./endpoint.ts";
import { watchFiles } from "./files.ts";
import { silentLogger, type Logger } from "./ports.ts";
import type { RouteOptions } from "./route-options.ts";
import { bad, parseRoutes, type FileRoute } from "./routes-file/parse.ts";
import type { RouteSource } from "./source.ts";
import type { RouteTable } from "./table/route-table.ts";

export { parseRoutes, type FileRoute } from "./routes-file/parse.ts";

export interface FileRoutesOptions {
  /** How often the file is looked at for changes. Default 1 000 ms; 0 = never, only at `reload()`. */
  watchMs?: number;
  /** Told each text whose routes were taken. */
  onRead?: (text: string) => void;
}

export interface FileSource extends RouteSource {
  /**
   * Reads the file again and changes what differs: what stays is not touched, requests under way go on. A file that makes no sense changes nothing.
   * @throws {RouterError} ROUTER_BAD_ROUTES_FILE
   */
  reload(): Promise<void>;
}

interface Applied { readonly uri: string; readonly endpoint: EndpointInit; readonly options: RouteOptions }

/**
 * Keeps a table as a file says, and looks whether it says something else now; a bad edit is logged (`router.reload.failed`) and the old routes stay.
 * @throws {RouterError} ROUTER_BAD_ROUTES_FILE, when it starts
 */
export function routesFromFile(path: string, { watchMs = 1_000, onRead }: FileRoutesOptions = {}): FileSource {
  let table: RouteTable | undefined;
  let log: Logger = silentLogger;
  let applied = new Map<string, Applied>();
  let reloads = 0;
  let refused = 0;
  /** One at a time, in order. */
  let last: Promise<void> = Promise.resolve();

  async function apply(): Promise<void> {
    let text: string;
    try { text = await readFile(path, "utf8"); } catch (cause) { throw bad(path, `cannot be read: ${(cause as Error).message}`, cause); }
    const routes = parseRoutes(text, path);
    if (table === undefined) return;
    const next = entriesOf(routes, `file ${path}`);
    for (const { uri, endpoint, options } of next.values()) table.register(uri, endpoint, options);
    // Only then: a route whose endpoints are all new is never empty in between.
    for (const [key, { uri, endpoint }] of applied) if (!next.has(key)) table.unregister(uri, endpoint);
    applied = next;
    onRead?.(text);
  }

  const reload = (): Promise<void> => {
    const mine = last.catch(() => undefined).then(apply);
    last = mine.then(() => {
      reloads += 1;
      log.info("router.reload.done", { path, routes: new Set([...applied.values()].map(({ uri }) => uri)).size });
    }, (error: Error) => {
      refused += 1;
      throw error;
    });
    last.catch(() => undefined);
    return last;
  };

  return {
    name: `file ${path}`,
    reload,
    async start(context) {
      ({ table, log } = context);
      await reload();
      const watched = watchMs === 0 ? undefined : await watchFiles([path], watchMs, context.clock, () => reload().catch((error: Error) => log.error("router.reload.failed", { error: error.message })));
      return {
        numbers: () => ({ reloads, refused_reloads: refused }),
        async [Symbol.asyncDispose]() {
          watched?.[Symbol.dispose]();
          await last.catch(() => undefined);
          table = undefined;
        },
      };
    },
  };
}

/** By route and address; the last one counts where a file says it twice. */
function entriesOf(routes: readonly FileRoute[], source: string): Map<string, Applied> {
  const entries = new Map<string, Applied>();
  for (const { uri, endpoints, options } of routes) {
    endpoints.forEach((init, index) => {
      entries.set(`${uri} ${init.host}:${init.tlsPort ?? init.port}`, { uri, endpoint: { instanceIndex: String(index), ...init, source }, options });
    });
  }
  return entries;
}
