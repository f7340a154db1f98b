/** Keys whose values `/varz` must not show, at any depth (vcap-common `component.rb`, `CONFIG_SUPPRESS`), and the names that came later. */
const secretKeys = new Set([
  "mbus", "service_mbus", "keys", "database_environment", "password", "pass", "token",
  "credentials", "secret", "client_secret", "private_key", "nkey", "seed", "authorization", "cookie",
]);

/**
 * A deep copy of a configuration, fit to be shown: secret keys are gone at every depth (of any case), passwords in URLs are hidden,
 * and what JSON does not know (functions, circles, more than 20 levels) is left out.
 */
export function withoutSecrets(config: unknown): unknown {
  return copy(config, []);
}

function copy(value: unknown, above: readonly object[]): unknown {
  if (typeof value === "string") return value.replace(/\/\/[^@/\s]*@/g, "//***@");
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return typeof value === "function" || typeof value === "symbol" ? undefined : value;
  if (above.length >= 20 || above.includes(value)) return undefined;
  const path = [...above, value];
  if (Array.isArray(value)) return value.map((each) => copy(each, path) ?? null);
  if (ArrayBuffer.isView(value) || value instanceof Date) return value instanceof Date ? value : undefined;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(entries.filter(([key]) => !secretKeys.has(String(key).toLowerCase())).map(([key, each]) => [String(key), copy(each, path)]));
}
