/** A request body read once, with every text of what is wrong with it, in the words clients match. */
export interface Checks {
  /** All problems, in the order found. */
  readonly problems: string[];
  add(...texts: readonly string[]): void;
  has(key: string): boolean;
  /** The text under a key, checked; `undefined` when absent or wrong. */
  text(key: string, options?: { label?: string; min?: number; max?: number; nullable?: boolean; required?: boolean }): string | null | undefined;
  integer(key: string, options?: { label?: string; min?: number; max?: number; nullable?: boolean }): number | null | undefined;
  object(key: string, options?: { label?: string; nullable?: boolean; required?: boolean }): Record<string, unknown> | undefined;
  flag(key: string, options?: { label?: string; required?: boolean }): boolean | undefined;
  oneOf<T extends string>(key: string, values: readonly T[], text: string): T | undefined;
  /** The guid of a to-one relationship in `relationships`. */
  relationship(name: string): string | undefined;
}

const largestInteger = 2 ** 31 - 1;

/** Starts reading a body whose keys may only be these. */
export function checkBody(given: unknown, allowed: readonly string[]): Checks {
  const body = isPlain(given) ? given : {};
  const problems: string[] = [];
  const strange = Object.keys(body).filter((key) => !allowed.includes(key));
  if (strange.length > 0) problems.push(`Unknown field(s): ${strange.map((key) => `'${key}'`).join(", ")}`);
  return {
    problems,
    add: (...texts) => void problems.push(...texts),
    has: (key) => body[key] !== undefined,
    text(key, { label = labelOf(key), min = 0, max, nullable = false, required = false } = {}) {
      const value = body[key];
      if (value === undefined && !required) return undefined;
      if (value === null && nullable) return null;
      if (typeof value !== "string") return void problems.push(`${label} must be a string`);
      if (min > 0 && max !== undefined && (value.length < min || value.length > max)) return void problems.push(`${label} must be between ${min} and ${max} characters`);
      if (max !== undefined && value.length > max) return void problems.push(`${label} is too long (maximum is ${max} characters)`);
      return value;
    },
    integer(key, { label = labelOf(key), min, max = largestInteger, nullable = true } = {}) {
      const value = body[key];
      if (value === undefined) return undefined;
      if (value === null && nullable) return null;
      if (typeof value !== "number") return void problems.push(`${label} is not a number`);
      if (!Number.isInteger(value)) return void problems.push(`${label} must be an integer`);
      if (min !== undefined && value < min) return void problems.push(`${label} must be ${min === 1 ? "greater than 0" : `greater than or equal to ${min}`}`);
      if (value > max) return void problems.push(`${label} must be less than or equal to ${max}`);
      return value;
    },
    object(key, { label = labelOf(key), nullable = true, required = false } = {}) {
      const value = body[key];
      if ((value === undefined && !required) || (value === null && nullable)) return undefined;
      if (isPlain(value)) return value;
      return void problems.push(`${label} must be an object`);
    },
    flag(key, { label = labelOf(key), required = false } = {}) {
      const value = body[key];
      if (value === undefined && !required) return undefined;
      if (typeof value === "boolean") return value;
      return void problems.push(`${label} must be a boolean`);
    },
    oneOf(key, values, text) {
      const value = body[key];
      if (values.includes(value as never)) return value as never;
      return void problems.push(text);
    },
    relationship(name) {
      const { relationships } = body;
      if (!isPlain(relationships)) return void problems.push("Relationships 'relationships' is not an object");
      if (Object.keys(relationships).length === 0) return void problems.push("Relationships 'relationships' must include one or more valid relationships");
      const strangers = Object.keys(relationships).filter((key) => key !== name);
      if (strangers.length > 0) problems.push(`Relationships Unknown field(s): ${strangers.map((key) => `'${key}'`).join(", ")}`);
      const label = labelOf(name);
      const relation = relationships[name];
      if (relation === undefined || relation === null) return void problems.push(`Relationships ${label} can't be blank`);
      const data = isPlain(relation) ? relation["data"] : undefined;
      if (!isPlain(data) || typeof data["guid"] !== "string") return void problems.push(`Relationships ${label} must be structured like this: "${name}: {"data": {"guid": "valid-guid"}}"`);
      return data["guid"];
    },
  };
}

/** A key as error texts name it: `memory_in_mb` is "Memory in mb". */
export function labelOf(key: string): string {
  const words = key.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
