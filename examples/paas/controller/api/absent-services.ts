import { placeOfSpace } from "./access.ts";
import type { RouteModule } from "./context.ts";
import { notFound, notImplemented } from "./errors.ts";

const kinds: readonly [collection: string, type: string][] = [
  ["service_brokers", "Service broker"], ["service_offerings", "Service offering"], ["service_plans", "Service plan"], ["service_instances", "Service instance"],
  ["service_credential_bindings", "Service credential binding"], ["service_route_bindings", "Service route binding"], ["service_usage_events", "Service usage event"],
];

/** A controller without a services part: its lists are empty, so that `cf app` and `cf services` go on, and writes are refused. */
export const absentServiceRoutes: RouteModule = (api, { db }) => {
  for (const [collection, type] of kinds) {
    const isPublic = collection === "service_offerings" || collection === "service_plans";
    api.listOf(`/v3/${collection}`, { query: "any", ...(isPublic && { auth: "optional" }) }, () => []);
    api.get(`/v3/${collection}/:guid`, { query: "any" }, () => { throw notFound(type); });
    if (collection === "service_usage_events") continue;
    const refuse = (): never => { throw notImplemented("Services"); };
    api.post(`/v3/${collection}`, async (call) => {
      const space = (call.body as { relationships?: { space?: { data?: { guid?: unknown } } } } | undefined)?.relationships?.space?.data?.guid;
      const place = typeof space === "string" ? await placeOfSpace(db, space) : undefined;
      if (typeof space === "string" && (!place || !call.access.can("space.read", place))) throw notFound("Space");
      return refuse();
    });
    api.patch(`/v3/${collection}/:guid`, () => { throw notFound(type); });
    api.delete(`/v3/${collection}/:guid`, { query: "any" }, () => { throw notFound(type); });
  }
};
