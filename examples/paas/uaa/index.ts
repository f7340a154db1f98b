export { startUaa, type Uaa, type UaaOptions } from "./server.ts";
export { platformClients, cfClient, type PlatformClientSecrets } from "./default-clients.ts";
export type { ClientSeed } from "./clients.ts";
export { uaaMigrations } from "./migrations.ts";
export { createIdentities, type Identities, type Identity, type IdentitiesOptions } from "./identities.ts";
export { UaaServerError, codes, type UaaServerErrorCode } from "./errors.ts";
