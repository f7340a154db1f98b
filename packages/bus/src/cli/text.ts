/** Text from the bus must not move the cursor or ring the bell: control characters become visible escapes. */
export const clean = (text: string): string =>
   
  text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (sign) =>
    ({ "\n": "\\n", "\r": "\\r", "\t": "\\t" })[sign] ?? (sign < "\x80" ? `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}` : `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`));

/** At most `width` characters, the last one an ellipsis where something is missing. */
export const cut = (text: string, width: number): string => (text.length <= width ? text : width < 1 ? "" : `${text.slice(0, width - 1)}…`);

/** A long id as people tell it apart: eight characters of it, after the index that v1 ids begin with. */
export function short(id: unknown): string {
  const text = clean(String(id));
  const [, index = "", rest] = /^(\d{1,4}-)?([0-9a-fA-F][0-9a-fA-F-]{15,})$/.exec(text) ?? [];
  return rest === undefined ? cut(text, 36) : `${index}${rest.slice(0, 8)}`;
}

/** `a b c +4`: the first of many. */
export function some(values: readonly unknown[], most = 3, show: (value: unknown) => string = (value) => clean(String(value))): string {
  const more = values.length > most ? ` +${values.length - most}` : "";
  return `${values.slice(0, most).map(show).join(" ")}${more}`;
}

/** `1.5G` of 1536 MB. */
export const megabytes = (mb: unknown): string => (typeof mb !== "number" ? "?" : Math.abs(mb) >= 1_024 ? `${round(mb / 1_024)}G` : `${round(mb)}M`);

/** `1.5K` of 1536 bytes. */
export function bytes(count: unknown): string {
  if (typeof count !== "number") return "?";
  const unit = count <= 0 ? 0 : Math.min(4, Math.floor(Math.log2(count) / 10));
  return `${round(count / 1_024 ** unit)}${["B", "K", "M", "G", "T"][unit]}`;
}

const round = (number: number): string => String(Math.round(number * 10) / 10);

/** `2d 3h`, `4m 5s`, `5.2s`, `120ms`: the two largest parts are enough. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)}s`;
  const s = Math.floor(ms / 1_000);
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor(s / 3_600) % 24, Math.floor(s / 60) % 60];
  const [more, less] = d > 0 ? [`${d}d`, `${h}h`] : h > 0 ? [`${h}h`, `${m}m`] : [`${m}m`, `${s % 60}s`];
  return less.startsWith("0") ? more : `${more} ${less}`;
}

/** `+0.012` seconds, always with a sign and three places. */
export const seconds = (ms: number): string => `${ms < 0 ? "-" : "+"}${(Math.abs(ms) / 1_000).toFixed(3)}`;

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length)));
  return rows.map((row) => row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("  ").trimEnd());
}
