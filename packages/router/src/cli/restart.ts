import { readFile } from "node:fs/promises";
import { parse } from "yaml";

/** Keys that are taken while the router runs. */
const live = new Set(["routes", "tcp_routes"]);

/** Tells, for each later text of a file, which keys besides its routes are not what they were when the program began. */
export async function changedKeys(path: string): Promise<(text: string) => string[]> {
  const begun = keysOf(await readFile(path, "utf8").catch(() => ""));
  return (text) => {
    const now = keysOf(text);
    return [...new Set([...begun.keys(), ...now.keys()])].filter((key) => begun.get(key) !== now.get(key)).sort();
  };
}

function keysOf(text: string): Map<string, string> {
  let document: unknown;
  try { document = parse(text); } catch { return new Map(); }
  return new Map(Object.entries(document ?? {}).filter(([key]) => !live.has(key)).map(([key, value]) => [key, JSON.stringify(value)]));
}
