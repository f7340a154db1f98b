import type { Metrics, Stored, Tags } from "./envelope.ts";

/**
 * One line of a journal file, as a JSON array: `["t", number, tags]` tells a set of tags once,
 * `["l", source, timestamp, instance, tags number, type, payload]` is a line, `["g", ..., metrics]` are readings.
 */
type TagRecord = ["t", number, Tags];
type LineRecord = ["l", string, string, string, number, "OUT" | "ERR", string];
type GaugeRecord = ["g", string, string, string, number, Metrics];

/** Writes the lines of one file; it remembers which tags the file has told already. */
export function tagWriter(): (sourceId: string, envelope: Stored) => string {
  const told = new Map<Tags, number>();
  return (sourceId, { timestamp, instanceId, tags, type, payload, gauge }) => {
    let prefix = "";
    let number = told.get(tags);
    if (number === undefined) {
      number = told.size;
      told.set(tags, number);
      prefix = `${JSON.stringify(["t", number, tags] satisfies TagRecord)}\n`;
    }
    const record = gauge
      ? (["g", sourceId, timestamp.toString(), instanceId, number, gauge] satisfies GaugeRecord)
      : (["l", sourceId, timestamp.toString(), instanceId, number, type ?? "OUT", payload ?? ""] satisfies LineRecord);
    return `${prefix}${JSON.stringify(record)}\n`;
  };
}

/** Reads the lines of one file in their order. */
export function readRecord(): (line: string) => { sourceId: string; envelope: Omit<Stored, "bytes"> } | undefined {
  const told = new Map<number, Tags>();
  return (line) => {
    try {
      const record = JSON.parse(line) as TagRecord | LineRecord | GaugeRecord;
      if (record[0] === "t") return void told.set(record[1], record[2]);
      const [kind, sourceId, timestamp, instanceId, tagsNumber] = record;
      const head = { timestamp: BigInt(timestamp), instanceId: String(instanceId), tags: told.get(tagsNumber) ?? {} };
      if (kind === "g") return { sourceId, envelope: { ...head, gauge: record[5] } };
      if (kind !== "l" || typeof record[6] !== "string") return undefined;
      return { sourceId, envelope: { ...head, type: record[5] === "ERR" ? "ERR" : "OUT", payload: record[6] } };
    } catch {
      return undefined;
    }
  };
}
