import type { Database } from "../../database.ts";
import type { Access } from "./access.ts";
import { CfError } from "./errors.ts";
import type { ControllerTables } from "../data/schema.ts";

/** Feature flags: their default, and whether an admin may do it anyway. */
export const flagTable = {
  user_org_creation: { enabled: false, adminBypass: false },
  private_domain_creation: { enabled: true, adminBypass: false },
  app_bits_upload: { enabled: true, adminBypass: true },
  app_scaling: { enabled: true, adminBypass: true },
  route_creation: { enabled: true, adminBypass: false },
  service_instance_creation: { enabled: true, adminBypass: false },
  diego_docker: { enabled: false, adminBypass: false },
  diego_cnb: { enabled: false, adminBypass: false },
  set_roles_by_username: { enabled: true, adminBypass: true },
  unset_roles_by_username: { enabled: true, adminBypass: true },
  task_creation: { enabled: true, adminBypass: true },
  env_var_visibility: { enabled: true, adminBypass: false },
  space_scoped_private_broker_creation: { enabled: true, adminBypass: false },
  space_developer_env_var_visibility: { enabled: true, adminBypass: true },
  service_instance_sharing: { enabled: false, adminBypass: false },
  hide_marketplace_from_unauthenticated_users: { enabled: false, adminBypass: false },
  resource_matching: { enabled: true, adminBypass: false },
  route_sharing: { enabled: false, adminBypass: false },
  hash_based_routing: { enabled: false, adminBypass: false },
} as const satisfies Record<string, { enabled: boolean; adminBypass: boolean }>;

export type FlagName = keyof typeof flagTable;
export const flagNames = Object.keys(flagTable) as FlagName[];

export interface FeatureFlags {
  enabled(name: FlagName): Promise<boolean>;
  /** @throws CfError FeatureDisabled, with the operator's own text where there is one */
  require(name: FlagName, access: Access): Promise<void>;
}

export function createFeatureFlags(db: Database<ControllerTables>): FeatureFlags {
  const find = (name: FlagName) => db.selectFrom("feature_flags").selectAll().where("name", "=", name).executeTakeFirst();
  return {
    enabled: async (name) => (await find(name))?.enabled ?? flagTable[name].enabled,
    async require(name, access) {
      if (access.isAdmin && flagTable[name].adminBypass) return;
      const row = await find(name);
      if (row?.enabled ?? flagTable[name].enabled) return;
      throw new CfError("FeatureDisabled", `Feature Disabled: ${row?.custom_error_message ?? name}`);
    },
  };
}
