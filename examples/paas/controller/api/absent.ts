import type { RouteModule } from "./context.ts";
import { notImplemented } from "./errors.ts";

/**
 * What other Cloud Foundries have and this one does not: reading finds nothing, so that clients go on;
 * writing is refused in words, so that nobody believes something happened.
 */
export const absentRoutes: RouteModule = (api) => {
  const none = { query: "any" } as const;

  const refuse = (what: string) => (): never => {
    throw notImplemented(what);
  };
  api.post("/v3/route_policies", refuse("Route policies"));
  // Container networking and TCP routing have APIs of their own in other platforms.
  api.get("/networking/v1/external/policies", none, () => ({ total_policies: 0, policies: [] }));
  for (const path of ["/networking/v1/external/policies", "/networking/v1/external/policies/delete"]) api.post(path, refuse("Network policies"));
  api.fastify.get("/routing/v1/router_groups", (_request, reply) => reply.send([]));
};
