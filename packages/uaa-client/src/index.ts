// Checking tokens:
export { createValidator, type Validator, type ValidatorOptions, type ValidateOptions, type ValidatorStats } from "./validator.ts";
export type { Principal, UserPrincipal, ClientPrincipal } from "./principal.ts";
export { guard, bearerToken, refusalFor, type GuardOptions, type Refusal } from "./guard.ts";
export { decodeUnverified, type DecodedToken } from "./token.ts";
// Getting tokens:
export { createGrantClient, type GrantClient, type GrantClientOptions, type PasswordGrant, type TokenSet } from "./grants.ts";
export { createTokenSource, type TokenSource, type TokenSourceOptions } from "./token-source.ts";
// What went wrong:
export { UaaError, codes, type UaaErrorCode } from "./errors.ts";
// What can be handed in:
export type { Clock, Fetch, Logger } from "./ports.ts";
