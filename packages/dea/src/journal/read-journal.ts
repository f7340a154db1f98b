import { readFile } from "node:fs/promises";
import { DeaError, systemCode } from "../errors.ts";
import type { Logger } from "../ports.ts";
import type { Cipher } from "./cipher.ts";
import { decodeLine, formatVersion, type Header } from "./line.ts";
import type { InstanceRecord } from "./record.ts";

export interface ReadJournal {
  header: Header | undefined;
  /** By id, in the order in which they were first written. */
  records: Map<string, InstanceRecord>;
  /** Lines that say nothing; one that was cut off at the end is not counted. */
  damaged: number;
}

/**
 * Reads what is there, or undefined when there is no file. A line that was cut off at the end is what a death in the
 * middle of a write leaves: it is passed over. A damaged line before costs itself, and not what stands around it.
 * Throws DEA_JOURNAL for a newer format, and for a journal that this key does not open.
 */
export async function readJournal(path: string, cipher: Cipher | undefined, log: Logger): Promise<ReadJournal | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const lines = text.split("\n");
  const cutOff = lines.pop() ?? "";
  if (cutOff !== "") log.warn("journal.tail", { file: path, bytes: Buffer.byteLength(cutOff) });
  const records = new Map<string, InstanceRecord>();
  let header: Header | undefined;
  let damaged = 0;
  let sealed = 0;
  for (const [index, line] of lines.entries()) {
    if (line === "") continue;
    const found = decodeLine(line, cipher);
    if ("header" in found) header = found.header;
    else if ("sealed" in found) sealed += 1;
    else if ("damaged" in found) {
      damaged += 1;
      log.error("journal.line", { file: path, line: index + 1, error: found.damaged });
    } else if ("put" in found.entry) records.set(found.entry.put.id, found.entry.put);
    else records.delete(found.entry.drop);
  }
  if (header && header.version > formatVersion) throw new DeaError("DEA_JOURNAL", `${path} was written by a newer executor (format ${header.version}, this one knows ${formatVersion})`);
  // To begin without it would be to end everything that it tells of.
  if (sealed > 0) throw new DeaError("DEA_JOURNAL", `${path} is encrypted${cipher ? " with another key" : ": it needs its key"}`);
  return { header, records, damaged };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw new DeaError("DEA_JOURNAL", `${path} cannot be read: ${systemCode(error) ?? "unknown"}`, { cause: error });
  }
}

/** The executor's id as the journal tells it, for a folder that lost the file it is kept in. */
export async function idInJournal(path: string): Promise<string | undefined> {
  const [first = ""] = ((await readText(path).catch(() => "")) ?? "").split("\n", 1);
  const line = decodeLine(first, undefined);
  return "header" in line ? line.header.id : undefined;
}
