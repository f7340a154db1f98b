import { parseDocument } from "yaml";
import { RouterError } from "../errors.ts";
import { emptyDraft, type Draft } from "./draft.ts";
import { operationRows } from "./keys-operation.ts";
import { trafficRows } from "./keys-traffic.ts";
import { BadValue, isMapping } from "./value.ts";
import type { Row } from "./row.ts";

/** Every key of a gorouter's configuration that this program knows. */
export const knownKeys: readonly Row[] = [...trafficRows, ...operationRows];

/** One key that stood in a file, and what became of it. */
export interface KeyReport {
  readonly key: string;
  readonly state: "honoured" | "partly honoured" | "not honoured" | "unknown";
  /** For everything that is not plainly honoured. */
  readonly why: string;
}

/** Keys of this program's own, which no gorouter knows; read elsewhere. */
const ownKeys = new Set(["routes", "tcp_routes", "tcp_ports", "tcp_tls"]);

/**
 * What a document says, key by key. All bad values are told at once.
 * @throws {RouterError} ROUTER_BAD_CONFIG
 */
export function readKeys(document: Readonly<Record<string, unknown>>, from: string): { draft: Draft; report: KeyReport[] } {
  const draft = emptyDraft();
  const report: KeyReport[] = [];
  const bad: string[] = [];
  const rows = new Map(knownKeys.map((row) => [row.key, row]));

  function take(path: string, value: unknown): void {
    const row = rows.get(path) ?? rows.get(`${path}.*`);
    if (row === undefined) {
      const below = isMapping(value) && knownKeys.some(({ key }) => key.startsWith(`${path}.`));
      if (below) for (const [name, inner] of Object.entries(value)) take(`${path}.${name}`, inner);
      else if (value === null && knownKeys.some(({ key }) => key.startsWith(`${path}.`))) return;
      else report.push({ key: path, state: "unknown", why: "no key of a gorouter that is known here" });
      return;
    }
    // An empty place in a template says nothing.
    if (value === null || value === undefined) return;
    try {
      const read = row.read(value) as never;
      row.apply(draft, read);
      const but = row.but?.(read);
      if (!row.honoured) report.push({ key: path, state: row.same(read) || row.same(value) ? "honoured" : "not honoured", why: row.why });
      else report.push({ key: path, state: but === undefined ? "honoured" : "partly honoured", why: but ?? "" });
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      bad.push(`${path}${error.where}: ${error.message}`);
    }
  }

  for (const [name, value] of Object.entries(document)) if (!ownKeys.has(name)) take(name, value);
  if (bad.length > 0) throw badConfig(from, bad);
  return { draft, report };
}

/** @throws {RouterError} ROUTER_BAD_CONFIG */
export function parseYaml(text: string, from: string): Record<string, unknown> {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw badConfig(from, [`no YAML: ${error.message.split("\n")[0]}`]);
  let value: unknown;
  try { value = document.toJS({ maxAliasCount: 100 }); } catch (cause) { throw badConfig(from, [`no YAML: ${(cause as Error).message}`]); }
  if (!isMapping(value)) throw badConfig(from, ["expected a mapping: the keys of a gorouter, or `routes`"]);
  return value;
}

export const badConfig = (from: string, problems: readonly string[]): RouterError =>
  new RouterError("ROUTER_BAD_CONFIG", problems.length === 1 ? `${from}: ${problems[0]}` : `${from}:\n  ${problems.join("\n  ")}`);
