import { createRouter, defaultSteps, findRoute, type AccessLogSink, type Router } from "@opencf/router";
import { requireKey } from "./require-key.ts";

/** Where a plain server listens. */
export interface Server { readonly host: string; readonly port: number }

export interface EdgeOptions {
  /** Serves `localhost`. */
  readonly shop: Server;
  /** Serves `localhost/admin`, to those with a key. */
  readonly admin: Server;
  /** Name of the caller by key. */
  readonly keys: ReadonlyMap<string, string>;
  readonly port: number;
  /** Takes a line for each request. Default nobody. */
  readonly accessLog?: AccessLogSink;
}

/** Two routes, and one step between ours: as soon as the route is known, before anything is sent to an app. */
export function createEdge({ shop, admin, keys, port, accessLog }: EdgeOptions): Router {
  const guard = requireKey("localhost/admin", keys);
  const router = createRouter({
    port,
    steps: defaultSteps.flatMap((step) => (step === findRoute ? [step, guard] : [step])),
    ...(accessLog === undefined ? {} : { accessLog }),
  });
  router.table.register("localhost", shop);
  router.table.register("localhost/admin", admin);
  return router;
}
