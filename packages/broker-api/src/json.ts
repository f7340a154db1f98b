import { badRequest } from "./errors.ts";

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Deeper values are refused: nobody writes them by hand, and walking them costs stack. */
export const maxDepth = 100;

/**
 * The same text for the same value, whatever the order of keys. Members that are `undefined` do not count.
 * Throws `BROKER_BAD_REQUEST` for values nested deeper than {@link maxDepth}.
 */
export function canonical(value: unknown, depth = 0): string {
  if (depth > maxDepth) throw badRequest(`values may be nested ${maxDepth} deep`);
  if (Array.isArray(value)) return `[${value.map((one) => canonical(one, depth + 1)).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const members = Object.keys(value).sort().filter((key) => value[key] !== undefined);
  return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(value[key], depth + 1)}`).join(",")}}`;
}

/** Freezes a value from somebody else's hands, all the way down. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}
