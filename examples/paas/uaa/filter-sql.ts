import type { Expression, ExpressionBuilder, SqlBool } from "kysely";
import { UaaServerError } from "./errors.ts";
import type { Filter, Operator } from "./filter.ts";

/** A column that may be filtered and sorted by. `text` is compared without case, `folded` holds lower case already, `exact` is taken as it is. */
export interface FilterColumn {
  column: string;
  kind: "text" | "folded" | "exact" | "boolean" | "time";
}

/** Attribute names, in lower case, and their columns. */
export type FilterColumns = Readonly<Record<string, FilterColumn>>;

const bad = (why: string) => new UaaServerError("invalid_scim_resource", `Invalid filter expression: ${why}`);
const escapeLike = (text: string) => text.replace(/[\\%_]/g, "\\$&");
const comparisons: Partial<Record<Operator, "=" | ">" | ">=" | "<" | "<=">> = { eq: "=", gt: ">", ge: ">=", lt: "<", le: "<=" };

/** Turns a filter into a condition; values only ever travel as parameters. @throws UaaServerError invalid_scim_resource */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the builder of any table; the columns say which exist
export function filterToSql(eb: ExpressionBuilder<any, any>, filter: Filter, columns: FilterColumns): Expression<SqlBool> {
  if (filter.kind !== "test") {
    const parts = filter.parts.map((part) => filterToSql(eb, part, columns));
    return filter.kind === "and" ? eb.and(parts) : eb.or(parts);
  }
  const { attribute, operator, value } = filter;
  const target = Object.hasOwn(columns, attribute) ? columns[attribute] : undefined;
  if (!target) throw bad(`unknown attribute ${attribute.slice(0, 40)}`);
  const { column, kind } = target;
  if (operator === "pr") return eb(column, "is not", null);
  const comparison = comparisons[operator];
  if (kind === "boolean") {
    if (typeof value !== "boolean" || operator !== "eq") throw bad(`${attribute} is compared with true or false`);
    return eb(column, "=", value);
  }
  if (kind === "time") {
    const at = typeof value === "string" ? Date.parse(value) : Number.NaN;
    if (Number.isNaN(at) || !comparison) throw bad(`${attribute} is compared with a date`);
    return eb(column, comparison, at);
  }
  if (typeof value !== "string") throw bad(`${attribute} is compared with text`);
  // PostgreSQL knows no NUL in text: nothing can be equal to it.
  if (value.includes("\0")) return eb.lit(false);
  const left = kind === "text" ? eb.fn("lower", [eb.ref(column)]) : eb.ref(column);
  const right = kind === "exact" ? value : value.toLowerCase();
  if (comparison) return eb(left, comparison, right);
  return eb(left, "like", operator === "sw" ? `${escapeLike(right)}%` : `%${escapeLike(right)}%`);
}

/** Every attribute that a filter asks for, with its operators: some doors allow only a few. */
export function* testsOf(filter: Filter): Generator<Extract<Filter, { kind: "test" }>> {
  if (filter.kind === "test") yield filter;
  else for (const part of filter.parts) yield* testsOf(part);
}
