import { unique } from "./words.ts";

/** Whether a scope of a client's list permits a scope: `*` stands for one or more signs that are no dot, as in `zones.*.admin`. */
export function permits(pattern: string, scope: string): boolean {
  if (!pattern.includes("*")) return pattern === scope;
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^.]+")}$`).test(scope);
}

/** What a user token may hold: groups of the user that the client may ask for, narrowed to what was asked. */
export function grantedScopes(groups: readonly string[], clientScope: readonly string[], requested?: readonly string[]): string[] {
  const allowed = groups.filter((group) => clientScope.some((pattern) => permits(pattern, group)));
  return unique(requested ? allowed.filter((scope) => requested.includes(scope)) : allowed);
}

/** The client, and for each scope what stands before its last dot; a scope without a dot stands for itself. */
export function audienceOf(clientId: string, scopes: readonly string[]): string[] {
  const parts = scopes.map((scope) => (scope.includes(".") ? scope.slice(0, scope.lastIndexOf(".")) : scope));
  return [...new Set([clientId, ...unique(parts)])];
}

/** Groups that every user is in without being put there. */
export const defaultGroups: readonly string[] = [
  "openid", "scim.me", "cloud_controller.read", "cloud_controller.write", "cloud_controller_service_permissions.read", "password.write",
  "scim.userids", "uaa.user", "approvals.me", "oauth.approvals", "profile", "roles", "user_attributes", "uaa.offline_token",
];

/** Groups of the administrator of a platform, besides the default ones. */
export const adminGroups: readonly string[] = [
  "cloud_controller.admin", "scim.read", "scim.write", "uaa.admin", "clients.read", "clients.write", "clients.admin",
  "doppler.firehose", "logs.admin", "network.admin", "routing.router_groups.read", "routing.router_groups.write", "routing.routes.read", "routing.routes.write",
];
