import type { Member } from "../presence.ts";
import { clean, duration, table } from "./text.ts";

/** What is told of a component, from its own answer and, where there is shared state, from its presence. Never its credentials. */
export interface ComponentRow {
  readonly type: string;
  readonly index: number;
  readonly uuid: string;
  /** `address:port` of its `/varz` and `/healthz`. */
  readonly host: string;
  /** When it came up, in the component's own words. */
  readonly start: string | null;
  readonly uptime: string | null;
  readonly version: string | null;
  readonly zone: string | null;
  /** False for one that is only known by its presence. */
  readonly answered: boolean;
}

/**
 * Adds what the presence registry knows: version and zone of those who answered, and those who are there but did not answer.
 * One that answers under another uuid than it is present with counts as the same when type and index are.
 */
export function withPresence(rows: readonly ComponentRow[], members: readonly Member[], nowMs: number): ComponentRow[] {
  const of = (row: ComponentRow): Member | undefined =>
    members.find(({ uuid }) => uuid === row.uuid) ?? members.find(({ type, index }) => type === row.type && index === row.index);
  const silent = members.filter((member) => !rows.some((row) => of(row) === member || (row.type === member.type && row.index === member.index)));
  return [
    ...rows.map((row) => ({ ...row, version: row.version ?? of(row)?.version ?? null, zone: row.zone ?? of(row)?.zone ?? null })),
    ...silent.map(({ type, index, uuid, host, since, version, zone }) => ({
      type, index, uuid, host: host ?? "?", start: `${new Date(since).toISOString().slice(0, 19).replace("T", " ")} +0000`, uptime: inWords(Math.max(0, nowMs - since)),
      version: version ?? null, zone: zone ?? null, answered: false,
    })),
  ];
}

/** As components tell it: `0d:1h:2m:3s`. */
function inWords(ms: number): string {
  const s = Math.floor(ms / 1_000);
  return `${Math.floor(s / 86_400)}d:${Math.floor(s / 3_600) % 24}h:${Math.floor(s / 60) % 60}m:${s % 60}s`;
}

/** `1d 2h` of the uptime that components tell: `1d:2h:3m:4s`. */
export function uptimeText(uptime: string | null): string {
  const [, d, h, m, s] = /^(\d+)d:(\d+)h:(\d+)m:(\d+)s$/.exec(uptime ?? "") ?? [];
  return d === undefined ? clean(uptime ?? "?") : duration((((Number(d) * 24 + Number(h)) * 60 + Number(m)) * 60 + Number(s)) * 1_000).replace(/\.\d+s$/, "s");
}

/** By type, then index. */
export const sorted = (rows: readonly ComponentRow[]): ComponentRow[] =>
  [...rows].sort((a, b) => a.type.localeCompare(b.type) || a.index - b.index || a.uuid.localeCompare(b.uuid));

/** A table with a heading; the columns version and zone only where somebody tells them. */
export function componentsText(rows: readonly ComponentRow[]): string[] {
  const columns: [string, (row: ComponentRow) => string][] = [
    ["TYPE", ({ type }) => clean(type)], ["INDEX", ({ index }) => String(index)], ["HOST", ({ host, answered }) => `${clean(host)}${answered ? "" : " (silent)"}`], ["UP", ({ uptime }) => uptimeText(uptime)], ["SINCE", ({ start }) => clean(start ?? "?")],
    ...(rows.some(({ version }) => version !== null) ? [["VERSION", ({ version }: ComponentRow) => clean(version ?? "-")] as [string, (row: ComponentRow) => string]] : []),
    ...(rows.some(({ zone }) => zone !== null) ? [["ZONE", ({ zone }: ComponentRow) => clean(zone ?? "-")] as [string, (row: ComponentRow) => string]] : []),
  ];
  return table([columns.map(([name]) => name), ...sorted(rows).map((row) => columns.map(([, show]) => show(row)))]);
}
