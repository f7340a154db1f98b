import type { Family, Sample } from "@opencf/bus/component";

/** Samples of one component beyond this many are passed over. */
const maxSamples = 20_000;
const types = ["counter", "gauge", "histogram", "summary", "untyped"] as const;
const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$/;
const label = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;

/** Reads Prometheus text of strangers: what is not understood is passed over, and its timestamps are. */
export function parseMetrics(text: string): Family[] {
  const families = new Map<string, { name: string; help: string; type: Family["type"]; samples: Sample[] }>();
  const open = (name: string) => {
    let family = families.get(name);
    if (!family) families.set(name, (family = { name, help: "", type: "untyped", samples: [] }));
    return family;
  };
  let count = 0;
  for (const each of text.split("\n")) {
    if (each.startsWith("#")) {
      const [, kind, name = "", rest = ""] = /^#\s+(HELP|TYPE)\s+([a-zA-Z_:][a-zA-Z0-9_:]*)\s?(.*?)\r?$/.exec(each) ?? [];
      if (kind === "HELP") open(name).help = unescape(rest);
      else if (kind === "TYPE") open(name).type = types.find((type) => type === rest.trim()) ?? "untyped";
      continue;
    }
    const [, name = "", pairs = "", number = ""] = line.exec(each) ?? [];
    const value = readNumber(number);
    const labels = name === "" ? undefined : readLabels(pairs);
    if (!labels || value === undefined) continue;
    if (++count > maxSamples) break;
    const [owner, suffix] = ownerOf(name, families);
    open(owner).samples.push({ labels, value, ...(suffix !== "" && { suffix }) });
  }
  return [...families.values()].filter(({ samples }) => samples.length > 0);
}

/** `x_bucket` belongs to the histogram `x`, if there is one. */
function ownerOf(name: string, families: ReadonlyMap<string, { type: Family["type"] }>): [string, string] {
  const [, base = "", suffix = ""] = /^(.+)(_bucket|_sum|_count)$/.exec(name) ?? [];
  const type = families.get(base)?.type;
  return type === "histogram" || (type === "summary" && suffix !== "_bucket") ? [base, suffix] : [name, ""];
}

function readLabels(pairs: string): Record<string, string> | undefined {
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  while (label.lastIndex < pairs.length) {
    const match = label.exec(pairs);
    if (!match) return undefined;
    labels[match[1] as string] = unescape(match[2] as string);
  }
  return labels;
}

const unescape = (text: string): string => text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));

function readNumber(text: string): number | undefined {
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return NaN;
  const value = text === "" ? NaN : Number(text);
  return Number.isNaN(value) ? undefined : value;
}
