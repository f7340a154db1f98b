export { joinPermissions, type PermissionOptions, type Permissions, permissionsFor } from "./permissions/derive.ts";
export { natsAuthorization, natsPermissions, type NatsUser } from "./permissions/render.ts";
export { type Role, roles } from "./schema.ts";
