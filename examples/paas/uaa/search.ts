import type { UaaDatabase, UaaTables } from "./schema.ts";
import { UaaServerError } from "./errors.ts";
import { filterToSql, testsOf, type FilterColumns } from "./filter-sql.ts";
import { parseFilter, type Filter, type Operator } from "./filter.ts";
import { schemas } from "./scim.ts";

export interface SearchQuery {
  filter: Filter | undefined;
  attributes: string[] | undefined;
  sortColumn: string;
  descending: boolean;
  /** From 1. */
  startIndex: number;
  count: number;
}

const maxCount = 500;

/** Reads the query of a SCIM list. @throws UaaServerError invalid_scim_resource */
export function parseSearch(query: URLSearchParams, columns: FilterColumns, sortBy: string): SearchQuery {
  const number = (name: string, otherwise: number): number => {
    const text = query.get(name);
    if (text === null || text === "") return otherwise;
    if (!/^-?\d{1,9}$/.test(text)) throw new UaaServerError("invalid_scim_resource", `${name} must be a number`);
    return Number(text);
  };
  const filter = query.get("filter");
  const attributes = (query.get("attributes") ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
  const sortName = (query.get("sortBy") || sortBy).toLowerCase();
  const sortColumn = Object.hasOwn(columns, sortName) ? columns[sortName]?.column : undefined;
  if (!sortColumn) throw new UaaServerError("invalid_scim_resource", "Invalid sortBy");
  return {
    filter: filter === null || filter.trim() === "" ? undefined : parseFilter(filter),
    attributes: attributes.length > 0 ? attributes : undefined,
    sortColumn,
    descending: (query.get("sortOrder") ?? "").toLowerCase().startsWith("desc"),
    startIndex: Math.max(1, number("startIndex", 1)),
    count: Math.min(maxCount, Math.max(0, number("count", 100))),
  };
}

/** One page, filtered, sorted and cut by the database. */
export async function search<Table extends "uaa_users" | "uaa_groups">(
  db: UaaDatabase,
  table: Table,
  { filter, sortColumn, descending, startIndex, count }: SearchQuery,
  columns: FilterColumns,
): Promise<{ rows: UaaTables[Table][]; total: number }> {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the table is one of two; the columns come from our own list
  const all = (db as any).selectFrom(table) as ReturnType<typeof db.selectFrom<"uaa_users">>;
  const matching = filter ? all.where((eb) => filterToSql(eb, filter, columns)) : all;
  const { total } = await matching.select((eb) => eb.fn.countAll<number>().as("total")).executeTakeFirstOrThrow();
  if (count === 0) return { rows: [], total: Number(total) };
  const rows = await matching.selectAll().orderBy(sortColumn as "id", descending ? "desc" : "asc").orderBy("id").limit(count).offset(startIndex - 1).execute();
  return { rows: rows as unknown as UaaTables[Table][], total: Number(total) };
}

export const listAnswer = (resources: object[], { startIndex, count }: SearchQuery, totalResults: number) =>
  ({ resources, startIndex, itemsPerPage: count, totalResults, schemas });

/** @throws UaaServerError when a filter uses more than these attributes and operators */
export function restrict(filter: Filter | undefined, attributes: readonly string[], operators: readonly Operator[]): void {
  for (const { attribute, operator } of filter ? testsOf(filter) : [])
    if (!attributes.includes(attribute) || !operators.includes(operator))
      throw new UaaServerError("invalid_scim_resource", `Invalid filter attributes: only ${attributes.join(", ")} with ${operators.join(", ")}`);
}
