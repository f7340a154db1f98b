import { sql, type RawBuilder } from "kysely";
import type { Database } from "../../database.ts";
import { CfError, notAuthorized, notFound } from "./errors.ts";
import type { TokenHolder } from "./ports.ts";
import type { ControllerTables, OrganizationRole, SpaceRole } from "../data/schema.ts";

/**
 * Who may hold a permission. `any_space_role` counts in the organization of the space;
 * `anyone` is everyone who is logged in.
 */
export type Holder = "admin" | "admin_read_only" | "global_auditor" | OrganizationRole | SpaceRole | "any_space_role" | "anyone";

const [A, R, G] = ["admin", "admin_read_only", "global_auditor"] as const;
const [OM, OA, OB, OU] = ["organization_manager", "organization_auditor", "organization_billing_manager", "organization_user"] as const;
const [SD, SM, SA, SS] = ["space_developer", "space_manager", "space_auditor", "space_supporter"] as const;
const spaceReaders = [A, R, G, OM, SD, SM, SA, SS] as const;
const orgReaders = [A, R, G, OM, OA, OB, OU, "any_space_role"] as const;

/** Who may do what: one row per permission. Organization roles count in every space of the organization. */
export const permissions = {
  "organization.read": orgReaders,
  "organization.update": [A, OM],
  "organization.administer": [A],
  "space.read": spaceReaders,
  "space.create": [A, OM],
  "space.update": [A, OM, SM],
  "space.administer": [A, OM],
  "organization_role.write": [A, OM],
  "space_role.write": [A, OM, SM],
  "app.read": spaceReaders,
  "app.write": [A, SD],
  "app.operate": [A, SD, SS],
  "app.environment.read": [A, R, SD, SS],
  "app.system_environment.read": [A, R, SD],
  "app.secrets.read": [A, R, SD],
  "app.manifest": [A, SD],
  "app.manifest.read": [A, R, SD],
  "droplet.download": [A, R, G, OM, SD, SM, SA],
  "package.download": [A, SD],
  "route.read": [A, R, G, OM, OA, SD, SM, SA, SS],
  "route.write": [A, SD, SS],
  "route.move": [A, SD],
  "domain.read": orgReaders,
  "domain.write": [A, OM],
  "service_instance.read": spaceReaders,
  "service_instance.write": [A, SD],
  "service_instance.credentials.read": [A, R, SD, SM],
  "service_instance.parameters.read": [A, R, G, OM, SD, SM, SA],
  "service_binding.read": spaceReaders,
  "service_binding.details.read": [A, R, SD],
  "service_binding.write": [A, SD, SS],
  "service_key.write": [A, SD],
  "service_broker.read": [A, R, G, SD, SS],
  "service_broker.write": [A, SD],
  "space_quota.read": [A, R, G, OM, SD, SM, SA, SS],
  "space_quota.write": [A, OM],
  "audit_event.read": [A, R, G, OA, SD, SA, SS],
  "platform.read": [A, R, G],
  "platform.write": [A],
} as const satisfies Record<string, readonly Holder[]>;

export type Permission = keyof typeof permissions;

/** Where a thing lives. Without a space it belongs to the organization as a whole. */
export interface Place {
  readonly organizationGuid: string;
  readonly spaceGuid?: string | undefined;
  readonly organizationSuspended?: boolean;
  readonly spaceSuspended?: boolean;
  /** Under recursive deletion: nothing may be changed there any more. */
  readonly deleting?: "organization" | "space" | undefined;
}

export interface Access {
  /** The user's guid, or the client's id; empty for a caller without a token. */
  readonly userGuid: string;
  readonly isAdmin: boolean;
  /** Admin, read-only admin or global auditor. */
  readonly readsEverything: boolean;
  can(permission: Permission, place?: Place): boolean;
  /**
   * Condition for a list, on SQL expressions that hold guids; undefined when the caller sees all rows.
   * With only `space` given, organization roles are looked up through the table `spaces`.
   */
  visible(permission: Permission, columns: { space?: RawBuilder<unknown>; organization?: RawBuilder<unknown> }): RawBuilder<boolean> | undefined;
  /** Guids of the organizations in which the caller has any role, or a role in one of its spaces. */
  readonly organizationGuids: readonly string[];
}

interface RoleRow {
  type: OrganizationRole | SpaceRole;
  organization_guid: string;
  space_guid: string | null;
}

/** Reads the caller's roles once; everything else is answered from memory. */
export async function loadAccess(db: Database<ControllerTables>, holder: TokenHolder): Promise<Access> {
  const userGuid = holder.userId ?? holder.clientId;
  const { rows } = await sql<RoleRow>`
    SELECT r.type, coalesce(r.organization_guid, s.organization_guid) AS organization_guid, r.space_guid
    FROM roles r LEFT JOIN spaces s ON s.guid = r.space_guid WHERE r.user_guid = ${userGuid}`.execute(db);
  return createAccess(userGuid, (scope) => holder.hasScope(scope), rows);
}

const scopes: Readonly<Partial<Record<Holder, string>>> = {
  admin: "cloud_controller.admin", admin_read_only: "cloud_controller.admin_read_only", global_auditor: "cloud_controller.global_auditor",
};

/** For calls without a token, where those are allowed. */
export const nobody: Access = createAccess("", () => false, []);

/** For the platform's own work. */
export const system: Access = createAccess("system", (scope) => scope === scopes.admin, []);

export function createAccess(userGuid: string, hasScope: (scope: string) => boolean, rows: readonly RoleRow[]): Access {
  const isGlobal = (holder: Holder): boolean => (holder === "anyone" ? userGuid !== "" : scopes[holder] !== undefined && hasScope(scopes[holder]));
  const guids = (holders: readonly Holder[]): { organizations: string[]; spaces: string[] } => {
    const organizations = new Set<string>();
    const spaces = new Set<string>();
    for (const { type, organization_guid, space_guid } of rows) {
      if (space_guid !== null && holders.includes(type)) spaces.add(space_guid);
      if (space_guid === null ? holders.includes(type) : holders.includes("any_space_role")) organizations.add(organization_guid);
    }
    return { organizations: [...organizations], spaces: [...spaces] };
  };
  return {
    userGuid,
    isAdmin: isGlobal("admin"),
    readsEverything: (["admin", "admin_read_only", "global_auditor"] as const).some(isGlobal),
    organizationGuids: [...new Set(rows.map(({ organization_guid }) => organization_guid))],
    can(permission, place) {
      const holders: readonly Holder[] = permissions[permission];
      if (holders.some(isGlobal)) return true;
      if (!place) return false;
      return rows.some(({ type, organization_guid, space_guid }) =>
        space_guid === null
          ? organization_guid === place.organizationGuid && holders.includes(type)
          : (space_guid === place.spaceGuid && holders.includes(type)) || (organization_guid === place.organizationGuid && holders.includes("any_space_role")));
    },
    visible(permission, { space, organization }) {
      const holders: readonly Holder[] = permissions[permission];
      if (holders.some(isGlobal)) return undefined;
      const { organizations, spaces } = guids(holders);
      const parts: RawBuilder<boolean>[] = [];
      if (organizations.length > 0 && organization) parts.push(sql<boolean>`${organization} = ANY(${organizations})`);
      if (organizations.length > 0 && !organization && space)
        parts.push(sql<boolean>`${space} IN (SELECT guid FROM spaces WHERE organization_guid = ANY(${organizations}))`);
      if (spaces.length > 0 && space) parts.push(sql<boolean>`${space} = ANY(${spaces})`);
      return parts.length === 0 ? sql<boolean>`false` : sql<boolean>`(${sql.join(parts, sql` OR `)})`;
    },
  };
}

export interface Demand {
  /** Who may know of it. */
  read: Permission;
  /** Who may do it; absent for reading. */
  write?: Permission;
  place?: Place | undefined;
  /** Humanised type for `404 X not found`. */
  type: string;
}

/**
 * The rule of visibility: who cannot read it gets 404; who can read but not write it gets 403; who may write in a suspended
 * organization or space gets 403 as well, admins excepted.
 */
export function demand(access: Access, { read, write, place, type }: Demand): void {
  if (!access.can(read, place)) throw notFound(type);
  if (write === undefined) return;
  if (!access.can(write, place)) throw notAuthorized();
  demandActive(access, place);
}

/** @throws CfError ResourceBeingDeleted; OrgSuspended, SpaceSuspended for all but admins */
export function demandActive(access: Access, place: Place | undefined): void {
  if (place?.deleting) throw new CfError("ResourceBeingDeleted", `The ${place.deleting} is being deleted`);
  if (access.isAdmin || !place) return;
  if (place.organizationSuspended === true) throw new CfError("OrgSuspended");
  if (place.spaceSuspended === true) throw new CfError("SpaceSuspended");
}

export type SpacePlace = Place & { readonly spaceGuid: string };

/** The place of a space, with what is suspended there; undefined when there is no such space. */
export async function placeOfSpace(db: Database<ControllerTables>, spaceGuid: string): Promise<SpacePlace | undefined> {
  const row = await db.selectFrom("spaces").innerJoin("organizations", "organizations.guid", "spaces.organization_guid")
    .select(["spaces.guid", "spaces.suspended", "spaces.deleting", "organizations.guid as organizationGuid",
      "organizations.suspended as organizationSuspended", "organizations.deleting as organizationDeleting"])
    .where("spaces.guid", "=", spaceGuid).executeTakeFirst();
  return row && {
    organizationGuid: row.organizationGuid, spaceGuid: row.guid, organizationSuspended: row.organizationSuspended, spaceSuspended: row.suspended,
    deleting: row.organizationDeleting ? "organization" : row.deleting ? "space" : undefined,
  };
}

export async function placeOfOrganization(db: Database<ControllerTables>, organizationGuid: string): Promise<Place | undefined> {
  const row = await db.selectFrom("organizations").select(["guid", "suspended", "deleting"]).where("guid", "=", organizationGuid).executeTakeFirst();
  return row && { organizationGuid: row.guid, organizationSuspended: row.suspended, deleting: row.deleting ? "organization" : undefined };
}
