/** Makes a value of a file into what the program works with. @throws {BadValue} saying what was expected, never what stood there: it may be a secret */
export type Read<T> = (value: unknown) => T;

export class BadValue extends Error {
  /** Below the key that is being read, e.g. `[2].port`. */
  readonly where: string;

  constructor(expected: string, where = "") {
    super(`expected ${expected}`);
    this.where = where;
  }
}

export const isMapping = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

export const text: Read<string> = (value) => {
  if (typeof value !== "string") throw new BadValue("a text");
  return value;
};

export const filled: Read<string> = (value) => {
  if (typeof value !== "string" || value === "") throw new BadValue("a text that is not empty");
  return value;
};

export const flag: Read<boolean> = (value) => {
  if (typeof value !== "boolean") throw new BadValue("true or false");
  return value;
};

export const wholeFrom = (least: number, most = 0x7fffffff): Read<number> => (value) => {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) throw new BadValue(`a whole number from ${least} to ${most}`);
  return value as number;
};

export const portNumber: Read<number> = wholeFrom(0, 65_535);

export const oneOf = <T extends string>(...allowed: readonly T[]): Read<T> => (value) => {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new BadValue(`one of ${allowed.join(", ")}`);
  return found;
};

export const listOf = <T>(read: Read<T>): Read<T[]> => (value) => {
  if (!Array.isArray(value)) throw new BadValue("a list");
  return value.map((one, at) => within(`[${at}]`, () => read(one)));
};

/** A list, or one thing alone. */
export const oneOrMore = <T>(read: Read<T>): Read<T[]> => (value) => (Array.isArray(value) ? listOf(read)(value) : [read(value)]);

/** A mapping with these keys; those that are not `optional` must be there, and no other may. */
export const shape = <T extends object>(fields: { readonly [K in keyof T]-?: Read<Exclude<T[K], undefined>> }, optional: readonly (keyof T & string)[] = []): Read<T> => (value) => {
  if (!isMapping(value)) throw new BadValue(`a mapping with ${Object.keys(fields).join(", ")}`);
  for (const name of Object.keys(value)) if (!Object.hasOwn(fields, name)) throw new BadValue(`no key but ${Object.keys(fields).join(", ")}`, `.${name}`);
  const out: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(fields) as [string, Read<unknown>][]) {
    if (value[name] !== undefined && value[name] !== null) out[name] = within(`.${name}`, () => read(value[name]));
    else if (!optional.includes(name as keyof T & string)) throw new BadValue("a value", `.${name}`);
  }
  return out as T;
};

export const anything: Read<unknown> = (value) => value;

const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it (`1m30s`, `250ms`, `0`), in whole milliseconds, rounded up (Go `time.ParseDuration`). Those without end are too long for a timer. */
export const duration: Read<number> = (value) => {
  if (value === 0 || value === "0") return 0;
  const parts = typeof value === "string" ? [...value.matchAll(/(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)] : [];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== value) throw new BadValue("a duration such as 30s, 1m30s or 250ms");
  const ms = Math.max(0, Math.ceil(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit as string] as number), 0) - 1e-9));
  if (ms > 0x7fffffff) throw new BadValue("a duration of at most 24 days");
  return ms;
};

function within<T>(where: string, read: () => T): T {
  try { return read(); } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new BadValue(error.message.replace(/^expected /, ""), where + error.where);
  }
}
