import { RouterError } from "../errors.ts";

/** Says whether a host may be reached without leaving the router. */
export type Allowlist = (host: string) => boolean;

const label = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";
const entryPattern = new RegExp(`^(?:\\*\\.)?${label}(?:\\.${label})+$`);

/**
 * Names, or `*.` and a name: the star stands for exactly one label. Case does not matter. An empty list allows everything.
 * @throws {RouterError} ROUTER_BAD_OPTION
 */
export function parseAllowlist(entries: readonly string[]): Allowlist {
  const allowed = new Set<string>();
  for (const entry of entries) {
    const lower = String(entry).toLowerCase();
    if (!entryPattern.test(lower)) {
      throw new RouterError("ROUTER_BAD_OPTION", `routeServices.hairpinning: ${JSON.stringify(entry)} is neither a name such as guard.example.com nor *. and a name`);
    }
    allowed.add(lower);
  }
  return (host) => {
    if (allowed.size === 0) return true;
    const lower = host.toLowerCase();
    const dot = lower.indexOf(".");
    return allowed.has(lower) || (dot > 0 && allowed.has(`*${lower.slice(dot)}`));
  };
}
