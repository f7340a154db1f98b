import type { Endpoint } from "./endpoint.ts";
import type { Clock, Logger } from "./ports.ts";
import type { RouteTable } from "./table/route-table.ts";

/** What a source of routes is given when the router starts. */
export interface SourceContext {
  readonly table: RouteTable;
  /** Name of this router, unique in its cluster. */
  readonly routerId: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** A source at work. Disposing it stops it; the routes it registered stay. */
export interface RunningSource extends AsyncDisposable {
  /** What it counts, for `/varz`. */
  numbers?(): Readonly<Record<string, number>>;
  /** Whether an endpoint of a route (`host/path`) comes from the last run, and nobody has registered it since. */
  isUnconfirmed?(route: string, endpoint: Endpoint): boolean;
  /** For a source that brought back what the last run knew: resolves as soon as anybody confirms some of it. Undefined when there was nothing. */
  confirmed?(signal: AbortSignal): Promise<void> | undefined;
}

/**
 * Whatever fills the table: a bus, a file, a service registry. It is started before the router accepts requests
 * and stopped after the last one is answered.
 */
export interface RouteSource {
  readonly name: string;
  start(context: SourceContext): Promise<RunningSource> | RunningSource;
}
