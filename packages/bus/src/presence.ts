// Who is there: components that say so, and those who want to know. On a bucket, so it outlives whoever looks.
export { join, type JoinOptions, type Presence } from "./presence/join.ts";
export { registry, type PresenceEvent, type PresenceQuery, type Registry, type RegistryOptions } from "./presence/registry.ts";
export type { Member } from "./presence/member.ts";
