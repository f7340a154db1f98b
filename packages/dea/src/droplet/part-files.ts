import { randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { claim } from "../claim.ts";

const prefix = "part-";
/** From this age on a part belongs to nobody, whoever it was. */
const staleMs = 3_600_000;

export const isPart = (name: string): boolean => name.startsWith(prefix);

/** The files one store downloads to. They carry its name, which is claimed for as long as it lives. */
export interface PartFiles extends Disposable {
  /** Name for a new one. */
  next(): string;
}

/** Claims hold within their network namespace. */
const namespace = (): string => {
  try {
    return /\d+/.exec(readlinkSync("/proc/self/ns/net"))?.[0] ?? "0";
  } catch {
    return "0";
  }
};

/** Removes what nobody works on any more. Executors may share the folder: what a living one does is left alone. */
export async function openPartFiles(dir: string, nowMs: number): Promise<PartFiles> {
  const here = namespace();
  const own = randomUUID();
  const held = await claim(`parts/${own}`);
  for (const name of await readdir(dir)) {
    if (!isPart(name)) continue;
    const [where, owner, number] = name.slice(prefix.length).split(".");
    const path = join(dir, name);
    const found = await stat(path).catch(() => undefined);
    const dead = where === here && owner !== undefined && number !== undefined && (await isFree(owner));
    if (found && (dead || nowMs - found.mtimeMs > staleMs)) await rm(path, { force: true });
  }
  let count = 0;
  return {
    next: () => `${prefix}${here}.${own}.${count++}`,
    [Symbol.dispose]: () => held?.[Symbol.dispose](),
  };
}

async function isFree(owner: string): Promise<boolean> {
  const held = await claim(`parts/${owner}`);
  held?.[Symbol.dispose]();
  return held !== undefined;
}
