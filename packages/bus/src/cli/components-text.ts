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
    ["TYPE", ({ type }) => clean(type)], ["INDEX", ({ index }) => String(index)], ["HOST", ({ host }) => clean(host)], ["UP", ({ uptime }) => uptimeText(uptime)], ["SINCE", ({ start }) => clean(start ?? "?")],
    ...(rows.some(({ version }) => version !== null) ? [["VERSION", ({ version }: ComponentRow) => clean(version ?? "-")] as [string, (row: ComponentRow) => string]] : []),
    ...(rows.some(({ zone }) => zone !== null) ? [["ZONE", ({ zone }: ComponentRow) => clean(zone ?? "-")] as [string, (row: ComponentRow) => string]] : []),
  ];
  return table([columns.map(([name]) => name), ...sorted(rows).map((row) => columns.map(([, show]) => show(row)))]);
}
