import { describe, expect, test } from "vitest";
import { createAccess, demand, permissions, type Holder, type Permission } from "../../controller/api/access.ts";
import type { RoleType } from "../../controller/data/schema.ts";

const place = { organizationGuid: "o1", spaceGuid: "s1" };
const elsewhere = { organizationGuid: "o2", spaceGuid: "s2" };
const none = (): boolean => false;

const spaceRole = (type: RoleType) => createAccess("u", none, [{ type: type as "space_developer", organization_guid: "o1", space_guid: "s1" }]);
const organizationRole = (type: RoleType) => createAccess("u", none, [{ type: type as "organization_user", organization_guid: "o1", space_guid: null }]);

describe("the table of permissions means what it says", () => {
  for (const [permission, holders] of Object.entries(permissions) as [Permission, readonly Holder[]][]) {
    test(permission, () => {
      for (const type of ["space_auditor", "space_developer", "space_manager", "space_supporter"] as const) {
        expect([type, spaceRole(type).can(permission, place)]).toEqual([type, holders.includes(type) || holders.includes("any_space_role")]);
        expect(spaceRole(type).can(permission, elsewhere)).toBe(false);
        expect(spaceRole(type).can(permission, { organizationGuid: "o1" })).toBe(holders.includes("any_space_role"));
        expect(spaceRole(type).can(permission, { organizationGuid: "o1", spaceGuid: "other" })).toBe(holders.includes("any_space_role"));
      }
      for (const type of ["organization_user", "organization_auditor", "organization_manager", "organization_billing_manager"] as const) {
        expect([type, organizationRole(type).can(permission, place)]).toEqual([type, holders.includes(type)]);
        expect(organizationRole(type).can(permission, elsewhere)).toBe(false);
      }
      for (const scope of ["admin", "admin_read_only", "global_auditor"] as const)
        expect(createAccess("u", (asked) => asked === `cloud_controller.${scope}`, []).can(permission)).toBe(holders.includes(scope));
      expect(createAccess("u", none, []).can(permission, place)).toBe(false);
    });
  }
});

test("unseen is 404, seen but not allowed is 403, suspended is 403 for all but admins, being deleted is 422 for all", () => {
  const ask = (access: ReturnType<typeof createAccess>, more: object = {}): unknown => {
    try {
      demand(access, { read: "app.read", write: "app.write", place: { ...place, ...more }, type: "App" });
      return "yes";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  const admin = createAccess("a", () => true, []);
  expect(ask(createAccess("u", none, []))).toBe("ResourceNotFound");
  expect(ask(spaceRole("space_auditor"))).toBe("NotAuthorized");
  expect(ask(spaceRole("space_developer"))).toBe("yes");
  expect(ask(spaceRole("space_developer"), { organizationSuspended: true })).toBe("OrgSuspended");
  expect(ask(spaceRole("space_developer"), { spaceSuspended: true })).toBe("SpaceSuspended");
  expect(ask(admin, { organizationSuspended: true, spaceSuspended: true })).toBe("yes");
  expect(ask(admin, { deleting: "space" })).toBe("ResourceBeingDeleted");
});
