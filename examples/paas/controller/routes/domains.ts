import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation, type Database } from "../../database.ts";
import { demandActive, placeOfOrganization, type Access } from "../api/access.ts";
import type { RouteModule } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, noContent, type Call } from "../api/http.ts";
import { findOrganization } from "../organizations/orgs.ts";
import { links, mergedMetadata, metadataOf, standard, toManyData, toOneData } from "../api/present.ts";
import { anyOf, nameIn, type Condition } from "../api/query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { metadata, nullable, shape, toMany, toOne, Type } from "../api/validate.ts";

type Domain = RowOf<"domains">;

/** Which domains a caller may see: shared ones always; private ones of their organizations, or shared with those. */
export function visibleDomains(access: Access): Condition | undefined {
  const own = access.visible("domain.read", { organization: sql.ref("domains.organization_guid") });
  const shared = access.visible("domain.read", { organization: sql.ref("domain_shares.organization_guid") });
  return own && shared && sql<boolean>`(domains.organization_guid IS NULL OR ${own}
    OR EXISTS (SELECT 1 FROM domain_shares WHERE domain_shares.domain_guid = domains.guid AND ${shared}))`;
}

/** Domains that routes of an organization may use. */
export const domainsOf = (organizationGuid: string): Condition => sql<boolean>`(domains.organization_guid IS NULL OR domains.organization_guid = ${organizationGuid}
  OR domains.guid IN (SELECT domain_guid FROM domain_shares WHERE organization_guid = ${organizationGuid}))`;

export async function presentDomains(db: Database<ControllerTables>, rows: readonly Domain[], { access, urls }: Call): Promise<object[]> {
  const guids = rows.map(({ guid }) => guid);
  const shares = guids.length === 0 ? [] : await db.selectFrom("domain_shares").selectAll().where("domain_guid", "in", guids).execute();
  return rows.map((row) => {
    const self = `/v3/domains/${row.guid}`;
    const organizations = shares.filter(({ domain_guid }) => domain_guid === row.guid).map(({ organization_guid }) => organization_guid)
      .filter((organizationGuid) => access.can("organization.read", { organizationGuid }));
    return {
      ...standard(row),
      name: row.name,
      internal: row.internal,
      router_group: row.router_group_guid === null ? null : { guid: row.router_group_guid },
      supported_protocols: [row.router_group_guid === null ? "http" : "tcp"],
      relationships: { organization: toOneData(row.organization_guid), shared_organizations: toManyData(organizations) },
      ...metadataOf(row),
      links: links(urls.api, {
        self, route_reservations: `${self}/route_reservations`,
        organization: row.organization_guid === null ? undefined : `/v3/organizations/${row.organization_guid}`,
        shared_organizations: row.organization_guid === null ? undefined : `${self}/relationships/shared_organizations`,
      }),
    };
  });
}

/** The domain of routes that name none: the first shared one that is neither internal nor TCP, else one of the organization's own. */
export async function defaultDomain(db: Database<ControllerTables>, organizationGuid: string): Promise<Domain | undefined> {
  return await db.selectFrom("domains").selectAll().where("internal", "=", false).where("router_group_guid", "is", null).where(domainsOf(organizationGuid))
    .orderBy(sql`organization_guid IS NOT NULL`).orderBy("id").limit(1).executeTakeFirst();
}

const domainBody = shape({
  name: Type.String({ minLength: 3, maxLength: 253 }),
  internal: Type.Optional(nullable(Type.Boolean())),
  router_group: Type.Optional(nullable(shape({ guid: Type.String() }))),
  relationships: Type.Optional(shape({ organization: Type.Optional(toOne), shared_organizations: Type.Optional(toMany) })),
  metadata: Type.Optional(metadata),
});

function domainNameProblem(name: string): string | undefined {
  if (!name.includes(".")) return "Name must contain at least one \".\"";
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(name) || name.includes("..")) return "Name does not comply with RFC 1035 standards";
  if (name.split(".").some((label) => label.length > 63 || label.startsWith("-") || label.endsWith("-"))) return "Name subdomains must each be at most 63 characters";
  return undefined;
}

export const domainRoutes: RouteModule = (api, { db, flags, jobs, hooks }) => {
  const list = (scope: (call: Call) => Promise<(Condition | undefined)[]>) => ({
    table: "domains" as const,
    filters: { names: nameIn("domains.name"), organization_guids: anyOf("domains.organization_guid") },
    orderBy: ["name"],
    scope,
    present: (rows: readonly Domain[], call: Call) => presentDomains(db, rows, call),
  });
  const one = async (row: Domain, call: Call): Promise<object> => (await presentDomains(db, [row], call))[0] as object;

  api.list("/v3/domains", list(({ access }) => Promise.resolve([visibleDomains(access)])));
  api.list("/v3/organizations/:guid/domains", list(async (call) => {
    await findOrganization(db, call, call.guid);
    return [domainsOf(call.guid), visibleDomains(call.access)];
  }));
  api.get("/v3/organizations/:guid/domains/default", async (call) => {
    await findOrganization(db, call, call.guid);
    const row = await defaultDomain(db, call.guid);
    if (!row) throw notFound("Domain");
    return one(row, call);
  });

  api.post("/v3/domains", { body: domainBody }, async (call) => {
    const { access, body } = call;
    const { name, internal, router_group: group, relationships } = body;
    const organization = relationships?.organization?.data.guid;
    const shared = relationships?.shared_organizations?.data.map(({ guid }) => guid) ?? [];
    const problem = domainNameProblem(name);
    if (problem !== undefined) throw unprocessable(problem);
    if (group) throw unprocessable("Router group: this platform has no TCP router groups.");
    if (internal === true && organization !== undefined) throw unprocessable("Can not associate an internal domain with an organization");
    if (organization === undefined && shared.length > 0) throw unprocessable("Relationships cannot contain shared_organizations without an owning organization.");
    if (organization === undefined) {
      if (!access.isAdmin) throw notAuthorized();
    } else {
      const place = await placeOfOrganization(db, organization);
      if (!place || !access.can("organization.read", place)) throw unprocessable(`Organization with guid '${organization}' does not exist or you do not have access to it.`);
      if (!access.can("domain.write", place)) throw notAuthorized();
      demandActive(access, place);
      if (!access.isAdmin) await flags.require("private_domain_creation", access);
    }
    const row = await transaction(db, async (trx) => {
      await sql`SELECT pg_advisory_xact_lock(7236641120)`.execute(trx); // overlapping names are looked for among all domains
      await refuseOverlap(trx, name, organization);
      if (organization !== undefined) {
        const { rows } = await sql<{ name: string; limit: number | null; used: number }>`
          SELECT o.name, q.total_domains AS "limit", (SELECT count(*) FROM domains d WHERE d.organization_guid = o.guid)::int AS used
          FROM organizations o JOIN organization_quotas q ON q.guid = o.quota_guid WHERE o.guid = ${organization}`.execute(trx);
        const quota = rows[0];
        if (quota?.limit != null && quota.used >= quota.limit) throw unprocessable(`The number of private domains exceeds the quota for organization "${quota.name}"`);
      }
      const made = await trx.insertInto("domains").values({
        guid: randomUUID(), name: name.toLowerCase(), internal: internal ?? false, organization_guid: organization ?? null, ...mergedMetadata(body.metadata),
      }).returningAll().executeTakeFirstOrThrow();
      if (shared.length > 0) await share(trx, call, made, shared);
      return made;
    }).catch((error: unknown) => {
      throw uniqueViolation(error) === "domains_name" ? unprocessable(`The domain name "${name}" is already in use`) : error;
    });
    return created(await one(row, call));
  });

  const find = async ({ access, guid }: Call): Promise<Domain> => {
    const row = await db.selectFrom("domains").selectAll().where("guid", "=", guid).where(visibleDomains(access) ?? sql<boolean>`true`).executeTakeFirst();
    if (!row) throw notFound("Domain");
    return row;
  };
  const findToChange = async (call: Call): Promise<Domain> => {
    const row = await find(call);
    const place = row.organization_guid === null ? undefined : await placeOfOrganization(db, row.organization_guid);
    if (!(place ? call.access.can("domain.write", place) : call.access.isAdmin)) throw notAuthorized();
    demandActive(call.access, place);
    return row;
  };

  api.get("/v3/domains/:guid", async (call) => one(await find(call), call));

  api.patch("/v3/domains/:guid", { body: shape({ metadata: Type.Optional(metadata) }) }, async (call) => {
    const row = await findToChange(call);
    const changed = await db.updateTable("domains").set({ ...mergedMetadata(call.body.metadata, row), updated_at: new Date() }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return one(changed, call);
  });

  api.delete("/v3/domains/:guid", async (call) => {
    const row = await findToChange(call);
    const shares = await db.selectFrom("domain_shares").select("organization_guid").where("domain_guid", "=", row.guid).limit(1).execute();
    if (shares.length > 0) throw unprocessable("This domain is shared with other organizations. Unshare before deleting.");
    const job = await jobs.run({
      operation: "domain.delete",
      resource: { type: "domain", guid: row.guid },
      work: async () => {
        const { rows } = await sql<{ guid: string }>`SELECT DISTINCT p.guid FROM processes p JOIN route_destinations d ON d.app_guid = p.app_guid AND d.process_type = p.type
          JOIN routes r ON r.guid = d.route_guid WHERE r.domain_guid = ${row.guid}`.execute(db);
        await db.deleteFrom("domains").where("guid", "=", row.guid).execute();
        hooks.onRoutesChanged(rows.map(({ guid }) => guid));
      },
    });
    return accepted(call, job);
  });

  const sharesOf = async (row: Domain, { access, urls }: Call): Promise<object> => {
    const shares = await db.selectFrom("domain_shares").select("organization_guid").where("domain_guid", "=", row.guid).execute();
    const readable = shares.map(({ organization_guid }) => organization_guid).filter((organizationGuid) => access.can("organization.read", { organizationGuid }));
    return { ...toManyData(readable), links: links(urls.api, { self: `/v3/domains/${row.guid}/relationships/shared_organizations` }) };
  };

  api.get("/v3/domains/:guid/relationships/shared_organizations", async (call) => sharesOf(await find(call), call));

  api.post("/v3/domains/:guid/relationships/shared_organizations", { body: toMany }, async (call) => {
    const row = await findToChange(call);
    if (row.organization_guid === null) throw unprocessable("Domains can not be shared with other organizations unless they are scoped to an organization.");
    await transaction(db, (trx) => share(trx, call, row, call.body.data.map(({ guid }) => guid)));
    return sharesOf(row, call);
  });

  api.delete("/v3/domains/:guid/relationships/shared_organizations/:organization", async (call) => {
    const row = await find(call);
    const organization = call.param("organization");
    const owner = row.organization_guid === null ? undefined : await placeOfOrganization(db, row.organization_guid);
    if (!owner || !(call.access.can("domain.write", owner) || call.access.can("domain.write", { organizationGuid: organization }))) throw notAuthorized();
    const inUse = await sql<{ n: number }>`SELECT count(*)::int AS n FROM routes r JOIN spaces s ON s.guid = r.space_guid WHERE r.domain_guid = ${row.guid} AND s.organization_guid = ${organization}`.execute(db);
    if ((inUse.rows[0]?.n ?? 0) > 0) throw unprocessable("This domain has associated routes in this organization. Delete the routes before unsharing.");
    const gone = await db.deleteFrom("domain_shares").where("domain_guid", "=", row.guid).where("organization_guid", "=", organization).returning("domain_guid").execute();
    if (gone.length === 0) throw unprocessable(`Unable to unshare domain from organization with name '${organization}'. Ensure the domain is shared to this organization.`);
    return noContent();
  });

  api.get("/v3/domains/:guid/route_reservations", { query: ["host", "path", "port"] }, async (call) => {
    const row = await find(call);
    const { host = "", path = "", port } = call.query;
    const found = await db.selectFrom("routes").select("guid").where("domain_guid", "=", row.guid)
      .where(sql<boolean>`lower(host) = ${host.toLowerCase()} AND path = ${path} AND coalesce(port, 0) = ${port === undefined || port === "" ? 0 : Number(port) || -1}`).limit(1).execute();
    return { matching_route: found.length > 0 };
  });
};

/** A name may not lie inside another organization's domain, nor around one of its domains. */
async function refuseOverlap(trx: Database<ControllerTables>, name: string, organization: string | undefined): Promise<void> {
  const lower = name.toLowerCase();
  const parents = lower.split(".").slice(1).map((_, index) => lower.split(".").slice(index + 1).join(".")).filter((each) => each.includes("."));
  const taken = await trx.selectFrom("domains").select(["name", "organization_guid"]).where(sql<boolean>`(lower(name) = ${lower} OR lower(name) = ANY(${parents}) OR right(lower(name), ${lower.length + 1}) = ${`.${lower}`})`).execute();
  for (const other of taken) {
    if (other.name.toLowerCase() === lower) throw unprocessable(`The domain name "${name}" is already in use`);
    const isForeign = other.organization_guid !== null && other.organization_guid !== organization;
    if (isForeign) throw unprocessable(`The domain name "${name}" cannot be created because "${other.name}" is already reserved by another domain`);
    // A shared domain may lie around a private one, but not the other way round.
    if (organization !== undefined && other.organization_guid === null && other.name.length > lower.length)
      throw unprocessable(`The domain name "${name}" cannot be created because "${other.name}" is already reserved by another domain`);
  }
  const [host, ...rest] = lower.split(".");
  const route = await trx.selectFrom("routes").innerJoin("domains", "domains.guid", "routes.domain_guid").select("routes.guid")
    .where(sql<boolean>`lower(routes.host) = ${host} AND lower(domains.name) = ${rest.join(".")}`).limit(1).execute();
  if (route.length > 0) throw unprocessable(`The domain name "${name}" cannot be created because "${name}" is already reserved by a route`);
}

async function share(trx: Database<ControllerTables>, { access }: Call, domain: Domain, organizations: readonly string[]): Promise<void> {
  for (const organizationGuid of organizations) {
    const place = await placeOfOrganization(trx, organizationGuid);
    if (!place || !access.can("organization.read", place)) throw unprocessable(`Organization with guid '${organizationGuid}' does not exist, or you do not have access to it.`);
    if (!access.can("domain.write", place)) throw unprocessable(`You do not have sufficient permissions for organization with guid '${organizationGuid}' to share domain.`);
    if (organizationGuid === domain.organization_guid) throw unprocessable("Domain cannot be shared with owning organization.");
    await trx.insertInto("domain_shares").values({ domain_guid: domain.guid, organization_guid: organizationGuid }).onConflict((conflict) => conflict.doNothing()).execute();
  }
}
