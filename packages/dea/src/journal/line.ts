import { crc32 } from "node:zlib";
import type { Cipher } from "./cipher.ts";
import { checkedRecord, type InstanceRecord } from "./record.ts";

export const formatName = "opencf-dea-journal";
export const formatVersion = 1;

/** One entry: what is true of an instance now, or that there is nothing more to know of it. */
export type Entry = { put: InstanceRecord } | { drop: string };

export interface Header {
  format: typeof formatName;
  version: number;
  /** The executor's id: it survives the loss of the file that holds it. */
  id: string;
  encrypted: boolean;
}

const digits = (text: string): string => crc32(text).toString(16).padStart(8, "0");
/** A sum in front of each line tells a whole line from what a full disk or a power failure left of one. */
const framed = (value: unknown): string => {
  const text = JSON.stringify(value);
  return `${digits(text)} ${text}\n`;
};

export const encodeHeader = (id: string, encrypted: boolean): string => framed({ format: formatName, version: formatVersion, id, encrypted } satisfies Header);

export const encodeEntry = (entry: Entry, cipher: Cipher | undefined): string => framed(cipher ? { sealed: cipher.seal(JSON.stringify(entry)) } : entry);

/** What a line says, or why it says nothing. `sealed`: it is encrypted, and this key does not open it. */
export type Line = { header: Header } | { entry: Entry } | { sealed: true } | { damaged: string };

export function decodeLine(line: string, cipher: Cipher | undefined): Line {
  const text = line.slice(9);
  if (line[8] !== " " || digits(text) !== line.slice(0, 8)) return { damaged: "its sum is wrong" };
  try {
    const value = JSON.parse(text) as { format?: unknown; sealed?: unknown };
    if (value.format === formatName) return { header: value as unknown as Header };
    if (typeof value.sealed !== "string") return { entry: checkedEntry(value) };
    const opened = cipher && unsealed(value.sealed, cipher);
    return opened === undefined ? { sealed: true } : { entry: checkedEntry(JSON.parse(opened)) };
  } catch {
    return { damaged: "it is no entry" };
  }
}

function unsealed(text: string, cipher: Cipher): string | undefined {
  try {
    return cipher.open(text);
  } catch {
    return undefined;
  }
}

function checkedEntry(value: unknown): Entry {
  const entry = value as { put?: unknown; drop?: unknown };
  if (typeof entry.drop === "string") return { drop: entry.drop };
  return { put: checkedRecord(entry.put) };
}
