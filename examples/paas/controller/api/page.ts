import { sql } from "kysely";
import type { Database } from "../../database.ts";
import { badQuery } from "./errors.ts";
import { labelConditions, listValues, timeCondition, type Condition, type Filter, type RawQuery } from "./query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";

/** What one list may be asked for: the data behind a row of the filter table. */
export interface PageSpec<Table extends keyof ControllerTables> {
  readonly table: Table;
  /** Besides `guids`, `created_ats`, `updated_ats`, `label_selector`, `page`, `per_page` and `order_by`. */
  readonly filters?: Readonly<Record<string, Filter>>;
  /** Columns one may order by besides `created_at` and `updated_at`. */
  readonly orderBy?: readonly string[];
  /** False for tables without metadata: there `label_selector` is an unknown key. Default true. */
  readonly labels?: boolean;
  /** Keys that something else reads, such as `include` or `embed`. */
  readonly otherKeys?: readonly string[];
}

export interface Page<Row> {
  readonly rows: Row[];
  readonly total: number;
  readonly page: number;
  readonly perPage: number;
}

export const maxPerPage = 5_000;
const defaultPerPage = 50;

/** Refuses keys nobody reads, in the words clients know. A key may carry an operator: `created_ats[gt]`. */
export function refuseUnknownKeys(query: RawQuery, known: readonly string[]): void {
  const unknown = Object.keys(query).filter((key) => !known.includes(key) && !known.includes(key.replace(/\[(gt|gte|lt|lte|not)\]$/, "")) && !known.some((each) => each.endsWith("[") && key.startsWith(each)));
  if (unknown.length === 0) return;
  const list = (keys: readonly string[]): string => keys.map((key) => `'${key}'`).join(", ");
  throw badQuery(`Unknown query parameter(s): ${list(unknown)}. Valid parameters are: ${list(known.map((key) => key.replace(/\[$/, "")))}`);
}

/** Reads `page` and `per_page`. @throws CfError BadQueryParameter */
export function pageNumbers(query: RawQuery): { page: number; perPage: number } {
  const number = (key: string, fallback: number, max: number, text: string): number => {
    const value = query[key];
    if (value === undefined) return fallback;
    const parsed = /^\d{1,9}$/.test(value) ? Number(value) : 0;
    if (parsed < 1 || parsed > max) throw badQuery(text);
    return parsed;
  };
  return {
    page: number("page", 1, 999_999_999, "Page must be a positive integer"),
    perPage: number("per_page", defaultPerPage, maxPerPage, `Per page must be between 1 and ${maxPerPage}`),
  };
}

/** One page of a table under the conditions given and those asked for. */
export async function selectPage<Table extends keyof ControllerTables>(
  db: Database<ControllerTables>, spec: PageSpec<Table>, query: RawQuery, conditions: readonly (Condition | undefined)[],
): Promise<Page<RowOf<Table>>> {
  const { table, filters = {}, orderBy = [], labels = true, otherKeys = [] } = spec;
  const column = (name: string): string => `${table}.${name}`;
  refuseUnknownKeys(query, [
    "page", "per_page", "order_by", "guids", "created_ats", "updated_ats", ...(labels ? ["label_selector"] : []), ...Object.keys(filters), ...otherKeys,
  ]);
  const { page, perPage } = pageNumbers(query);

  const asked = Object.entries(query).flatMap(([key, text]): Condition[] => {
    const [, name = key, operator] = /^([^[]*)(?:\[(\w+)\])?$/.exec(key) ?? [];
    if (key in filters) return [(filters[key] as Filter)(listValues(text), key)];
    if (name === "created_ats" || name === "updated_ats") return [timeCondition(column(name.slice(0, -1)), operator, listValues(text), name)];
    if (operator !== undefined) return name in filters || name === "guids" ? unsupported(key) : [];
    if (key === "guids") return [sql<boolean>`${sql.ref(column("guid"))} = ANY(${listValues(text)})`];
    if (key === "label_selector") return labelConditions(text, column("labels"));
    return [];
  });
  const all = [...conditions.filter((each) => each !== undefined), ...asked];
  const condition = all.length === 0 ? sql<boolean>`true` : sql<boolean>`${sql.join(all, sql` AND `)}`;

  const { rows } = await sql<RowOf<Table>>`
    SELECT ${sql.table(table)}.* FROM ${sql.table(table)} WHERE ${condition}
    ORDER BY ${order(query["order_by"], ["created_at", "updated_at", ...orderBy], column)}
    LIMIT ${perPage} OFFSET ${(page - 1) * perPage}`.execute(db);
  // A first page that is not full has counted itself.
  if (rows.length < perPage && (page === 1 || rows.length > 0)) return { rows, total: (page - 1) * perPage + rows.length, page, perPage };
  const counted = await sql<{ n: number }>`SELECT count(*) AS n FROM ${sql.table(table)} WHERE ${condition}`.execute(db);
  return { rows, total: counted.rows[0]?.n ?? 0, page, perPage };
}

function unsupported(key: string): never {
  throw badQuery(`Unknown query parameter(s): '${key}'`);
}

function order(asked: string | undefined, allowed: readonly string[], column: (name: string) => string) {
  const id = sql`${sql.ref(column("id"))}`;
  if (asked === undefined) return id;
  const [, sign = "", name = ""] = /^([+\- ]?)(.*)$/s.exec(asked) ?? [];
  if (!allowed.includes(name)) throw badQuery(`Order by can only be: ${allowed.map((each) => `'${each}'`).join(", ")}`);
  const direction = sql.raw(sign === "-" ? "DESC" : "ASC");
  return sql`${sql.ref(column(name))} ${direction}, ${id} ${direction}`;
}

export interface Pagination {
  total_results: number;
  total_pages: number;
  first: { href: string };
  last: { href: string };
  next: { href: string } | null;
  previous: { href: string } | null;
}

/** The head of a list; hrefs are absolute, in the form in which the client asked, and repeat its filters. */
export function pagination(address: string, query: RawQuery, { total, page, perPage }: { total: number; page: number; perPage: number }): Pagination {
  const pages = Math.max(1, Math.ceil(total / perPage));
  const rest = Object.entries(query).filter(([key]) => key !== "page" && key !== "per_page");
  const href = (number: number): { href: string } => {
    const pairs: (readonly [string, string])[] = [...rest, ["page", String(number)], ["per_page", String(perPage)]];
    return { href: `${address}?${pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join("&")}` };
  };
  return {
    total_results: total, total_pages: pages, first: href(1), last: href(pages),
    next: page < pages ? href(page + 1) : null, previous: page > 1 ? href(Math.min(page - 1, pages)) : null,
  };
}

/** A list that was not read from one table: cut to the page asked for. */
export function slicePage<Row>(rows: readonly Row[], query: RawQuery): Page<Row> {
  const { page, perPage } = pageNumbers(query);
  return { rows: rows.slice((page - 1) * perPage, page * perPage), total: rows.length, page, perPage };
}
