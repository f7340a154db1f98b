import { sql } from "kysely";
import { demandApp, demandPart } from "./app-access.ts";
import { recordAppEvent, type AppParts } from "./app-parts.ts";
import { checkBody } from "../api/checks.ts";
import { badQuery, notAuthorized, unprocessable } from "../api/errors.ts";
import type { Permission } from "../api/access.ts";
import type { Api, Call } from "../api/http.ts";
import { links, mergedMetadata, metadataOf, standard, toOneData, type MetadataPatch } from "../api/present.ts";
import { integerIn, type Filter } from "../api/query.ts";
import type { Revision } from "./revision-store.ts";

/** `/v3/revisions`: what an app was at its starts, and can be again. */
export function revisionRoutes(api: Api, parts: AppParts): void {
  const { db } = parts;
  const hasDroplet = sql<boolean>`EXISTS (SELECT 1 FROM droplets WHERE droplets.guid = revisions.droplet_guid AND droplets.state = 'STAGED')`;
  const deployable: Filter = (values) => {
    if (values.length !== 1 || !["true", "false"].includes(values[0] ?? "")) throw badQuery("Deployable must be a boolean");
    return values[0] === "true" ? hasDroplet : sql<boolean>`NOT ${hasDroplet}`;
  };

  async function present(rows: readonly Revision[], { urls }: Call): Promise<object[]> {
    const droplets = [...new Set(rows.map(({ droplet_guid }) => droplet_guid))];
    const staged = new Set(droplets.length === 0 ? [] : (await db.selectFrom("droplets").select("guid").where("guid", "in", droplets).where("state", "=", "STAGED").execute()).map(({ guid }) => guid));
    return rows.map((row) => {
      const at = `/v3/revisions/${row.guid}`;
      return {
        ...standard(row),
        version: row.version,
        droplet: { guid: row.droplet_guid },
        processes: Object.fromEntries(Object.entries(row.commands).map(([type, command]) => [type, { command }])),
        sidecars: row.sidecars,
        description: row.description,
        deployable: staged.has(row.droplet_guid),
        relationships: { app: toOneData(row.app_guid) },
        ...metadataOf(row),
        links: links(urls.api, { self: at, app: `/v3/apps/${row.app_guid}`, environment_variables: `${at}/environment_variables` }),
      };
    });
  }

  api.list("/v3/apps/:guid/revisions", {
    table: "revisions", filters: { versions: integerIn("revisions.version"), deployable }, orderBy: ["version"],
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`revisions.app_guid = ${call.guid}`];
    },
    present,
  });
  api.list("/v3/apps/:guid/revisions/deployed", {
    table: "revisions",
    scope: async (call) => {
      const { app } = await demandApp(db, call, call.guid);
      return [sql<boolean>`revisions.guid IN (SELECT revision_guid FROM processes WHERE app_guid = ${app.guid} AND instances > 0)`, app.state === "STARTED" ? undefined : sql<boolean>`false`];
    },
    present,
  });

  const find = async (call: Call, write?: Permission) =>
    demandPart(db, call, { row: await db.selectFrom("revisions").selectAll().where("guid", "=", call.guid).executeTakeFirst(), type: "Revision", write });

  api.get("/v3/revisions/:guid", async (call) => (await present([(await find(call)).row], call))[0] ?? {});

  api.get("/v3/revisions/:guid/environment_variables", async (call) => {
    const { row, found } = await find(call);
    if (!call.access.can("app.environment.read", found.place)) throw notAuthorized();
    await recordAppEvent(db, found, call.actor, { event: "revision.environment_variables.show", data: { revision_guid: row.guid, revision_version: row.version } });
    const at = `/v3/revisions/${row.guid}`;
    return { var: row.environment_variables, links: links(call.urls.api, { self: `${at}/environment_variables`, revision: at, app: `/v3/apps/${row.app_guid}` }) };
  });

  api.patch("/v3/revisions/:guid", async (call) => {
    const checks = checkBody(call.body, ["metadata"]);
    const metadata = checks.object("metadata");
    if (checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    const { row } = await find(call, "app.write");
    const updated = await db.updateTable("revisions").set({ ...mergedMetadata(metadata as MetadataPatch | undefined, row), updated_at: new Date(parts.clock.now()) }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return (await present([updated], call))[0] ?? {};
  });
}
