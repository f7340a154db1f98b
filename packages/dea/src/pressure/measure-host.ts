import { readFile } from "node:fs/promises";
import { diskRatio } from "../disk-pressure.ts";
import type { HostUse } from "./choose.ts";

/** Used share of the memory of `/proc/meminfo`: what is neither free nor could be freed at once. 0 where it does not say. */
export function memoryRatio(meminfo: string): number {
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? Number.NaN);
  const ratio = 1 - kib("MemAvailable") / kib("MemTotal");
  return Number.isFinite(ratio) ? ratio : 0;
}

/** What the whole machine uses, whoever uses it; of disks the one that holds `dir`. */
export async function measureHost(dir: string): Promise<HostUse> {
  return { memory: memoryRatio(await readFile("/proc/meminfo", "utf8")), disk: await diskRatio(dir) };
}
