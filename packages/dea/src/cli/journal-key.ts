import { readFile } from "node:fs/promises";
import { systemCode } from "../errors.ts";
import { UsageError } from "./usage.ts";

/** Shortest key that is taken, in bytes, as the journal has it. */
const minBytes = 16;

/** The key in a file: all of it but a line end. Throws UsageError; its text never holds the key. */
export async function readJournalKey(file: string): Promise<Buffer> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new UsageError(`--journal-key-file: ${file} cannot be read (${systemCode(error) ?? "unknown"})`);
  });
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end -= 1;
  if (end < minBytes) throw new UsageError(`--journal-key-file: ${file} holds ${end} bytes; a key has at least ${minBytes}`);
  return bytes.subarray(0, end);
}
