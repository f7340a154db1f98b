import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { textOf } from "../errors.ts";
import type { Logger } from "../ports.ts";
import { checkedRecord, type InstanceRecord } from "./record.ts";

const pathIn = (dir: string): string => join(dir, "snapshot.jsonl");

/** What an executor wrote before there was a journal: a header, then an instance a line. */
export async function readOldSnapshot(dir: string, log: Logger): Promise<InstanceRecord[]> {
  const path = pathIn(dir);
  const text = await readFile(path, "utf8").catch(() => "");
  if (text === "") return [];
  const [header = "", ...lines] = text.split("\n");
  if (!isHeader(header)) {
    log.error("snapshot.unreadable", { file: path });
    await rename(path, `${path}.damaged`);
    return [];
  }
  return lines.flatMap((line, index) => {
    if (line === "") return [];
    try {
      return [checkedRecord(JSON.parse(line))];
    } catch (error) {
      log.error("snapshot.line", { file: path, line: index + 2, error: textOf(error) });
      return [];
    }
  });
}

/** Once the journal has it all. */
export const removeOldSnapshot = async (dir: string): Promise<void> => {
  for (const path of [pathIn(dir), `${pathIn(dir)}.part`]) await rm(path, { force: true });
};

function isHeader(line: string): boolean {
  try {
    const header = JSON.parse(line) as { format?: unknown; version?: unknown };
    return header.format === "opencf-dea-snapshot" && header.version === 1;
  } catch {
    return false;
  }
}
