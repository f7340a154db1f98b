import { UaaError } from "./errors.ts";

export interface ScopeDemand {
  /** All of these must be there. */
  scopes?: readonly string[];
  /** At least one of these must be there. An empty list demands nothing. */
  anyScope?: readonly string[];
}

/**
 * The `scope` claim as a set: UAA writes an array, other issuers one string with spaces (RFC 8693, 4.2).
 * `undefined` when the claim is absent or of another shape.
 */
export function readScopes(claim: unknown): ReadonlySet<string> | undefined {
  if (typeof claim === "string") return new Set(claim.split(" ").filter((scope) => scope !== ""));
  if (Array.isArray(claim) && claim.every((scope) => typeof scope === "string")) return new Set(claim);
  return undefined;
}

/** Throws `insufficient_scope` unless the demand is met. Scopes match exactly: no prefixes, no wildcards, no case folding. */
export function demandScopes(held: ReadonlySet<string>, { scopes = [], anyScope = [] }: ScopeDemand): void {
  const lacking = scopes.filter((scope) => !held.has(scope));
  if (lacking.length > 0)
    throw new UaaError("insufficient_scope", `the token lacks ${lacking.join(", ")}`, { scopes });
  if (anyScope.length > 0 && !anyScope.some((scope) => held.has(scope)))
    throw new UaaError("insufficient_scope", `the token has none of ${anyScope.join(", ")}`, { scopes: anyScope });
}
