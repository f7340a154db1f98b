import { durationBounds, type HistogramCounts } from "../numbers/histogram.ts";

export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

/** The two lines before a family (Prometheus text format 0.0.4). */
export const family = (name: string, type: "counter" | "gauge" | "histogram" | "summary", help: string): string => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

export const sample = (name: string, value: number, labels: Labels = {}): string => `${name}${labelled(labels)} ${numeral(value)}\n`;

/** All lines of one histogram, cumulative as the format wants it. */
export function histogramLines(name: string, { counts, sum, count }: Omit<HistogramCounts, "counts"> & { readonly counts: ArrayLike<number> }, labels: Labels = {}): string {
  let lines = "";
  let below = 0;
  for (let at = 0; at < durationBounds.length; at += 1) {
    below += counts[at] as number;
    lines += sample(`${name}_bucket`, below, { ...labels, le: String(durationBounds[at]) });
  }
  return `${lines}${sample(`${name}_bucket`, count, { ...labels, le: "+Inf" })}${sample(`${name}_sum`, sum, labels)}${sample(`${name}_count`, count, labels)}`;
}

function labelled(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, (letter) => (letter === "\n" ? "\\n" : `\\${letter}`))}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

const numeral = (value: number): string => (value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value));
