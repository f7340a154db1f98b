import { demandApp } from "./app-access.ts";
import type { AppParts } from "./app-parts.ts";
import { notFound } from "./errors.ts";
import type { Api } from "./http.ts";

/** `/v3/revisions`: none are kept, and the lists say so. */
export function revisionRoutes(api: Api, { db }: AppParts): void {
  api.listOf("/v3/apps/:guid/revisions", { query: ["versions", "deployable"] }, async (call) => {
    await demandApp(db, call, call.guid);
    return [];
  });
  api.listOf("/v3/apps/:guid/revisions/deployed", {}, async (call) => {
    await demandApp(db, call, call.guid);
    return [];
  });
  for (const path of ["/v3/revisions/:guid", "/v3/revisions/:guid/environment_variables"]) {
    api.get(path, () => {
      throw notFound("Revision");
    });
  }
}
