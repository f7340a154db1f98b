import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../../database.ts";
import { demandActive, placeOfOrganization, placeOfSpace, type Access, type Place } from "../api/access.ts";
import { recordAudit } from "../api/audit.ts";
import type { Context, RouteModule, Trx } from "../api/context.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, gather, includeNames, type Include } from "../api/http.ts";
import { presentOrganization } from "./orgs.ts";
import { links, standard, toOneData } from "../api/present.ts";
import { anyOf } from "../api/query.ts";
import type { RoleType, RowOf } from "../data/schema.ts";
import { includeSpaces } from "./spaces.ts";
import { ensureUser, presentUsers } from "./users.ts";
import { oneOf, shape, toOne, Type } from "../api/validate.ts";

type Role = RowOf<"roles">;

const organizationRoles = ["organization_user", "organization_auditor", "organization_manager", "organization_billing_manager"] as const;
const spaceRoles = ["space_auditor", "space_developer", "space_manager", "space_supporter"] as const;
export const roleTypes = [...organizationRoles, ...spaceRoles] as const;

export function presentRole(row: Role, base: string): object {
  return {
    ...standard(row),
    type: row.type,
    relationships: { user: toOneData(row.user_guid), organization: toOneData(row.organization_guid), space: toOneData(row.space_guid) },
    links: links(base, {
      self: `/v3/roles/${row.guid}`, user: `/v3/users/${encodeURIComponent(row.user_guid)}`,
      organization: row.organization_guid === null ? undefined : `/v3/organizations/${row.organization_guid}`,
      space: row.space_guid === null ? undefined : `/v3/spaces/${row.space_guid}`,
    }),
  };
}

const userReference = shape({
  data: shape({ guid: Type.Optional(Type.String({ minLength: 1 })), username: Type.Optional(Type.String({ minLength: 1 })), origin: Type.Optional(Type.String()) }),
});
const roleBody = shape({
  type: oneOf(...roleTypes),
  relationships: shape({ user: userReference, organization: Type.Optional(toOne), space: Type.Optional(toOne) }),
});

export const roleRoutes: RouteModule = (api, context) => {
  const { db, jobs, flags } = context;

  const visible = (access: Access) => {
    const inSpace = access.visible("space.read", { space: sql.ref("roles.space_guid") });
    const inOrganization = access.visible("organization.read", { organization: sql.ref("roles.organization_guid") });
    return inSpace && inOrganization && sql<boolean>`(${inSpace} OR ${inOrganization} OR roles.user_guid = ${access.userGuid})`;
  };
  const includes: Record<string, Include<Role>> = {
    user: async (rows, call) => {
      const guids = [...new Set(rows.map(({ user_guid }) => user_guid))];
      const users = guids.length === 0 ? [] : await db.selectFrom("users").selectAll().where("guid", "in", guids).orderBy("id").execute();
      return { users: await presentUsers(context, users, call.urls.api) };
    },
    space: includeSpaces(db),
    organization: async (rows, { urls }) => {
      const guids = [...new Set(rows.map(({ organization_guid }) => organization_guid).filter((guid) => guid !== null))];
      const found = guids.length === 0 ? [] : await db.selectFrom("organizations").selectAll().where("guid", "in", guids).orderBy("id").execute();
      return { organizations: found.map((row) => presentOrganization(row, urls.api)) };
    },
  };

  api.list("/v3/roles", {
    table: "roles",
    labels: false,
    filters: { types: anyOf("roles.type"), user_guids: anyOf("roles.user_guid"), organization_guids: anyOf("roles.organization_guid"), space_guids: anyOf("roles.space_guid") },
    includes,
    scope: ({ access }) => [visible(access)],
    present: (rows, { urls }) => rows.map((row) => presentRole(row, urls.api)),
  });

  api.post("/v3/roles", { body: roleBody }, async (call) => {
    const { access, actor, body: { type, relationships } } = call;
    const { space, organization, user } = relationships;
    const isSpaceRole = (spaceRoles as readonly string[]).includes(type);
    if (space && organization) throw unprocessable("Role cannot be associated with both an organization and a space");
    const target = isSpaceRole ? space : organization;
    if (!target) throw unprocessable(isSpaceRole ? "Role of a space must have a space relationship" : "Role of an organization must have an organization relationship");
    const place: Place | undefined = isSpaceRole ? await placeOfSpace(db, target.data.guid) : await placeOfOrganization(db, target.data.guid);
    if (!place || !access.can(isSpaceRole ? "space.read" : "organization.read", place))
      throw unprocessable(`Invalid ${isSpaceRole ? "space" : "organization"}. Ensure that the ${isSpaceRole ? "space" : "organization"} exists and you have access to it.`);
    if (!access.can(isSpaceRole ? "space_role.write" : "organization_role.write", place)) throw notAuthorized();
    demandActive(access, place);
    if (user.data.username !== undefined) await flags.require("set_roles_by_username", access);
    const who = await resolveUser(context, access, user.data);

    const row = await transaction(db, async (trx) => {
      await ensureUser(trx, who.guid);
      if (isSpaceRole) {
        const inOrganization = await trx.selectFrom("roles").select("guid").where("user_guid", "=", who.guid).where("organization_guid", "=", place.organizationGuid).limit(1).execute();
        if (inOrganization.length === 0) throw unprocessable("Users cannot be assigned roles in a space if they do not have a role in that space's organization.");
      }
      const made = await trx.insertInto("roles").values({
        guid: randomUUID(), type, user_guid: who.guid, ...(isSpaceRole ? { space_guid: target.data.guid } : { organization_guid: target.data.guid }),
      }).returningAll().executeTakeFirstOrThrow();
      await auditRole(trx, { actor, role: made, place, suffix: "add", name: who.name });
      return made;
    }).catch(async (error: unknown) => {
      if (uniqueViolation(error) === undefined) throw error;
      const table = isSpaceRole ? "spaces" : "organizations";
      const named = await db.selectFrom(table).select("name").where("guid", "=", target.data.guid).executeTakeFirst();
      throw unprocessable(`User '${who.name}' already has '${type}' role in ${isSpaceRole ? "space" : "organization"} '${named?.name ?? ""}'.`);
    });
    return created(presentRole(row, call.urls.api));
  });

  const find = async (access: Access, guid: string): Promise<Role> => {
    const condition = visible(access) ?? sql<boolean>`true`;
    const row = await db.selectFrom("roles").selectAll().where("guid", "=", guid).where(condition).executeTakeFirst();
    if (!row) throw notFound("Role");
    return row;
  };

  api.get("/v3/roles/:guid", { query: ["include"] }, async (call) => {
    const row = await find(call.access, call.guid);
    const wanted = includeNames(call.query, Object.keys(includes)).map((name) => includes[name] as Include<Role>);
    return { ...presentRole(row, call.urls.api), ...(wanted.length > 0 && { included: await gather(wanted, [row], call) }) };
  });

  api.delete("/v3/roles/:guid", async (call) => {
    const { access, actor } = call;
    const row = await find(access, call.guid);
    const place = row.space_guid === null ? await placeOfOrganization(db, row.organization_guid ?? "") : await placeOfSpace(db, row.space_guid);
    if (!place) throw notFound("Role");
    if (!access.can(row.space_guid === null ? "organization_role.write" : "space_role.write", place)) throw notAuthorized();
    demandActive(access, place);
    if (row.type === "organization_user") {
      const inSpaces = await db.selectFrom("roles").innerJoin("spaces", "spaces.guid", "roles.space_guid").select("roles.guid")
        .where("roles.user_guid", "=", row.user_guid).where("spaces.organization_guid", "=", place.organizationGuid).limit(1).execute();
      if (inSpaces.length > 0) throw unprocessable("Cannot delete organization_user role while user has roles in spaces in that organization.");
    }
    const job = await jobs.run({
      operation: "role.delete",
      work: () => transaction(db, async (trx) => {
        await trx.deleteFrom("roles").where("guid", "=", row.guid).execute();
        await auditRole(trx, { actor, role: row, place, suffix: "remove", name: "" });
      }),
    });
    return accepted(call, job);
  });
};

interface RoleChange {
  actor: Parameters<typeof recordAudit>[1]["actor"];
  role: Role;
  place: Place;
  suffix: "add" | "remove";
  name: string;
}

function auditRole(trx: Trx, { actor, role, place, suffix, name }: RoleChange): Promise<void> {
  return recordAudit(trx, {
    type: `audit.user.${role.type satisfies RoleType}_${suffix}`, actor, target: { guid: role.user_guid, type: "user", name },
    spaceGuid: role.space_guid, organizationGuid: place.organizationGuid,
  });
}

/** The user a role is for: by guid, or by name at the UAA. @throws CfError 422 in the words clients know */
async function resolveUser({ db, identities }: Context, access: Access, { guid, username, origin }: { guid?: string; username?: string; origin?: string }): Promise<{ guid: string; name: string }> {
  if (guid !== undefined) {
    const known = await db.selectFrom("users").select("guid").where("guid", "=", guid).executeTakeFirst();
    const [identity] = await identities.findByIds([guid]);
    // Clients have roles too; they are no users of the UAA, and their ids are no UUIDs.
    const isClientId = access.isAdmin && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(guid);
    if (!known && !identity && !isClientId) throw unprocessable("Invalid user. Ensure that the user exists and you have access to it.");
    return { guid, name: identity?.username ?? guid };
  }
  if (username === undefined) throw unprocessable("Relationships user data must have a guid or a username");
  const found = await identities.findByNames([username], { origins: origin === undefined || origin === "" ? undefined : [origin] });
  const [identity, ...others] = found.filter((each) => each.username.toLowerCase() === username.toLowerCase());
  if (!identity) throw unprocessable(`No user exists with the username '${username}'${origin === undefined || origin === "" ? "" : ` and origin '${origin}'`}.`);
  if (others.length > 0)
    throw unprocessable(`User with username '${username}' exists in the following origins: ${[identity, ...others].map((each) => each.origin).join(", ")}. Specify an origin to disambiguate.`);
  return { guid: identity.guid, name: identity.username };
}
