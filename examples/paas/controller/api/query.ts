import { sql, type RawBuilder } from "kysely";
import { badQuery } from "./errors.ts";

/** A condition of a WHERE clause. */
export type Condition = RawBuilder<boolean>;

/** Makes a condition of a filter's values; an empty text among them stands for null or empty. */
export type Filter = (values: readonly string[], key: string) => Condition;

/** The query as it was asked: every key once, values as they came (decoded once). */
export type RawQuery = Readonly<Record<string, string>>;

/** Splits at commas, then decodes each part: clients send a comma inside a value as `%2C`. */
export function listValues(text: string): string[] {
  return text.split(",").map((part) => {
    try {
      return decodeURIComponent(part.replaceAll("+", "%2B"));
    } catch {
      return part;
    }
  });
}

/** Rows whose column is one of the values. */
export const anyOf = (column: string): Filter => (values) => orNull(column, values, sql<boolean>`${sql.ref(column)} = ANY(${[...values]})`);

/** The same for names, which are compared without regard to case. */
export const nameIn = (column: string): Filter => (values) =>
  orNull(column, values, sql<boolean>`lower(${sql.ref(column)}) = ANY(${values.map((value) => value.toLowerCase())})`);

export const integerIn = (column: string): Filter => (values, key) => {
  if (values.some((value) => !/^-?\d{1,9}$/.test(value))) throw badQuery(`${key} must be integers`);
  return sql<boolean>`${sql.ref(column)} = ANY(${values.map(Number)}::int[])`;
};

export const booleanIs = (column: string): Filter => (values, key) => {
  if (values.length !== 1 || !["true", "false"].includes(values[0] ?? "")) throw badQuery(`${key} must be 'true' or 'false'`);
  return sql<boolean>`${sql.ref(column)} = ${values[0] === "true"}`;
};

/** Rows of which a sub-select on another table finds something: `(values) => sql\`guid IN (SELECT ...)\``. */
export const where = (build: (values: string[]) => RawBuilder<unknown>): Filter => (values) => sql<boolean>`(${build([...values])})`;

function orNull(column: string, values: readonly string[], condition: Condition): Condition {
  return values.includes("") ? sql<boolean>`(${condition} OR ${sql.ref(column)} IS NULL)` : condition;
}

const operators: Readonly<Record<string, string>> = { gt: ">", gte: ">=", lt: "<", lte: "<=" };

/** `created_ats=a,b` (those times; CF takes two as a list too), `created_ats[gt]=a`. */
export function timeCondition(column: string, operator: string | undefined, values: readonly string[], key: string): Condition {
  const ref = sql.ref(column);
  const dates = values.map((value) => {
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) || Number.isNaN(Date.parse(value)))
      throw badQuery(`${key} has an invalid timestamp format. Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'`);
    return value;
  });
  // Times are shown in whole seconds: compared as they are shown.
  const shown = sql`date_trunc('second', ${ref})`;
  if (operator === undefined) {
    if (dates.length === 2) return sql<boolean>`${shown} BETWEEN ${dates[0]}::timestamptz AND ${dates[1]}::timestamptz`;
    return sql<boolean>`${shown} = ANY(${dates}::timestamptz[])`;
  }
  const symbol = operators[operator];
  if (symbol === undefined) throw badQuery(`Invalid relational operator: '${operator}'`);
  if (dates.length !== 1) throw badQuery(`${key} only accepts one value when using an inequality filter`);
  return sql<boolean>`${shown} ${sql.raw(symbol)} ${dates[0]}::timestamptz`;
}

const maxRequirements = 50;

/** `key`, `!key`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, joined by commas: all of them. */
export function labelConditions(selector: string, column: string): Condition[] {
  const ref = sql.ref(column);
  const requirements = splitRequirements(selector);
  if (requirements.length > maxRequirements) throw badQuery(`label_selector must not have more than ${maxRequirements} requirements`);
  return requirements.map((text) => {
    const set = /^(!?[^\s!=,()]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
    if (set) {
      const values = (set[3] ?? "").split(",").map((value) => value.trim());
      const found = sql<boolean>`(jsonb_exists(${ref}, ${set[1]}) AND ${ref}->>(${set[1]}::text) = ANY(${values}))`;
      return set[2] === "in" ? found : sql<boolean>`NOT ${found}`;
    }
    const pair = /^([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)$/.exec(text);
    if (pair) {
      const equal = sql<boolean>`coalesce(${ref}->>(${pair[1]}::text) = ${pair[3]}, false)`;
      return pair[2] === "!=" ? sql<boolean>`NOT ${equal}` : equal;
    }
    const key = /^(!?)\s*([^\s!=,()]+)$/.exec(text);
    if (!key) throw badQuery("Invalid label_selector value");
    const exists = sql<boolean>`jsonb_exists(${ref}, ${key[2]})`;
    return key[1] === "!" ? sql<boolean>`NOT ${exists}` : exists;
  });
}

/** At the commas that are not inside brackets. */
function splitRequirements(selector: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let current = "";
  for (const letter of selector) {
    if (letter === "(") depth++;
    if (letter === ")") depth--;
    if (letter === "," && depth === 0) {
      parts.push(current.trim());
      current = "";
    } else current += letter;
  }
  return [...parts, current.trim()];
}
