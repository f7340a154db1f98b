import { placeOfSpace } from "./access.ts";
import type { RouteModule } from "./context.ts";
import { notAuthorized, notFound, notImplemented } from "./errors.ts";

/**
 * What other Cloud Foundries have and this one does not: reading finds nothing, so that clients go on;
 * writing is refused in words, so that nobody believes something happened.
 */
export const absentRoutes: RouteModule = (api, { db }) => {
  const none = { query: "any" } as const;

  api.listOf("/v3/security_groups", none, () => []);
  for (const kind of ["running", "staging"])
    api.listOf(`/v3/spaces/:guid/${kind}_security_groups`, none, async ({ access, guid }) => {
      const place = await placeOfSpace(db, guid);
      if (!place || !access.can("space.read", place)) throw notFound("Space");
      return [];
    });

  const refuse = (what: string, write: "admin" | "anyone") => ({ access }: { access: { isAdmin: boolean } }): never => {
    if (write === "admin" && !access.isAdmin) throw notAuthorized();
    throw notImplemented(what);
  };
  const refused: readonly [paths: readonly string[], what: string, who: "admin" | "anyone"][] = [
    [["/v3/security_groups", "/v3/security_groups/:guid", "/v3/security_groups/:guid/relationships/running_spaces", "/v3/security_groups/:guid/relationships/staging_spaces"], "Security groups", "admin"],
    [["/v3/route_policies"], "Route policies", "anyone"],
  ];
  for (const [paths, what, who] of refused) {
    for (const path of paths) {
      api.post(path, refuse(what, who));
      if (path.endsWith(":guid")) {
        api.patch(path, refuse(what, who));
        api.delete(path, refuse(what, who));
      }
    }
  }
  api.get("/v3/security_groups/:guid", () => { throw notFound("Security group"); });
  // Container networking and TCP routing have APIs of their own in other platforms.
  api.get("/networking/v1/external/policies", none, () => ({ total_policies: 0, policies: [] }));
  for (const path of ["/networking/v1/external/policies", "/networking/v1/external/policies/delete"]) api.post(path, refuse("Network policies", "anyone"));
  api.fastify.get("/routing/v1/router_groups", (_request, reply) => reply.send([]));
};
