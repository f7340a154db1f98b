import { createHash } from "node:crypto";
import { unprocessable } from "./errors.ts";
import { json, type JsonText, type StringMap } from "../data/schema.ts";

/** RFC 3339 in UTC, whole seconds, as every time of the API. */
export const time = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`;

interface StandardRow {
  guid: string;
  created_at: Date;
  updated_at: Date;
  labels?: StringMap;
  annotations?: StringMap;
}

/** The keys nearly every resource begins with. */
export function standard(row: StandardRow): { guid: string; created_at: string; updated_at: string } {
  return { guid: row.guid, created_at: time(row.created_at), updated_at: time(row.updated_at) };
}

export const metadataOf = ({ labels = {}, annotations = {} }: StandardRow): { metadata: { labels: StringMap; annotations: StringMap } } =>
  ({ metadata: { labels, annotations } });

export const toOneData = (guid: string | null | undefined): { data: { guid: string } | null } => ({ data: guid === null || guid === undefined ? null : { guid } });
export const toManyData = (guids: readonly string[]): { data: { guid: string }[] } => ({ data: guids.map((guid) => ({ guid })) });

export interface Link {
  href: string;
  method?: string;
}

/** Links from paths below the API's address; a path may be preceded by a method: `POST /v3/...`. */
export function links(base: string, paths: Readonly<Record<string, string | undefined>>): Record<string, Link> {
  const result: Record<string, Link> = {};
  for (const [name, text] of Object.entries(paths)) {
    if (text === undefined) continue;
    const [method, path] = text.includes(" ") ? text.split(" ", 2) as [string, string] : [undefined, text];
    result[name] = { href: `${base}${path}`, ...(method !== undefined && { method }) };
  }
  return result;
}

/** A guid that is the same on every machine and at every start, for what comes with the platform. */
export function stableGuid(...parts: string[]): string {
  const hex = createHash("sha256").update(parts.join("\0")).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export interface MetadataPatch {
  labels?: Record<string, string | null>;
  annotations?: Record<string, string | null>;
}

const maxEntries = 200;
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const prefixPattern = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/i;

/** What is wrong with a `metadata` of a request: keys `prefix/name`, label values up to 63 characters, annotations up to 5000. */
export function metadataProblems({ labels = {}, annotations = {} }: MetadataPatch): string[] {
  const problems: string[] = [];
  const checkKey = (kind: string, key: string): void => {
    const slash = key.indexOf("/");
    const prefix = slash < 0 ? undefined : key.slice(0, slash);
    const name = slash < 0 ? key : key.slice(slash + 1);
    if (prefix?.toLowerCase() === "cloudfoundry.org") problems.push(`Metadata ${kind} key error: prefix 'cloudfoundry.org' is reserved`);
    else if (prefix !== undefined && !prefixPattern.test(prefix)) problems.push(`Metadata ${kind} key error: prefix '${prefix}' must be in valid dns format`);
    if (!namePattern.test(name)) problems.push(`Metadata ${kind} key error: '${name}' must be 1 to 63 characters, alphanumeric at both ends, with '-', '_' and '.' inside`);
  };
  for (const [key, value] of Object.entries(labels)) {
    checkKey("label", key);
    if (value !== null && value !== "" && !namePattern.test(value)) problems.push(`Metadata label value error: '${value}' must be at most 63 characters, alphanumeric at both ends, with '-', '_' and '.' inside`);
  }
  for (const [key, value] of Object.entries(annotations)) {
    checkKey("annotation", key);
    if (value !== null && value.length > 5_000) problems.push(`Metadata annotation value error: the value of '${key}' is greater than 5000 characters`);
  }
  return problems;
}

/**
 * A row's labels and annotations with a request's `metadata` applied (null removes), ready to be written; empty when there is none.
 * @throws CfError 422
 */
export function mergedMetadata(patch: MetadataPatch | undefined, row: { labels: StringMap; annotations: StringMap } = { labels: {}, annotations: {} }): { labels?: JsonText; annotations?: JsonText } {
  if (!patch) return {};
  const problems = metadataProblems(patch);
  if (problems.length > 0) throw unprocessable(problems.join(", "));
  const merge = (kind: string, current: StringMap, changes: Record<string, string | null> = {}): JsonText => {
    const merged = new Map(Object.entries(current));
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) merged.delete(key);
      else merged.set(key, value);
    }
    if (merged.size > maxEntries) throw unprocessable(`Failed to add ${merged.size} ${kind} because it would exceed maximum of ${maxEntries}`);
    return json(Object.fromEntries(merged));
  };
  return { labels: merge("labels", row.labels, patch.labels), annotations: merge("annotations", row.annotations, patch.annotations) };
}
