import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerSpec } from "../container/container.ts";
import { appUser, hostsFile, userFiles } from "./etc-files.ts";
import type { Slot } from "./names.ts";

export interface EtcInput {
  spec: ContainerSpec;
  slot: Slot;
  lowerDir: string;
  resolvConf: string;
}

/** Writes the files of `/etc` that differ from container to container into its upper layer. */
export async function writeEtc(upper: string, { spec, slot, lowerDir, resolvConf }: EtcInput): Promise<void> {
  const hostname = spec.handle.slice(0, 63);
  const files: Record<string, string> = { hostname: `${hostname}\n`, hosts: hostsFile(hostname, slot.address), "resolv.conf": resolvConf };
  if (spec.stack !== undefined) {
    const read = (name: string): Promise<string> => readFile(join(lowerDir, "etc", name), "utf8").catch(() => "");
    Object.assign(files, userFiles(await read("passwd"), await read("group")));
    for (const name of ["proc", "sys", "dev", appUser.home.slice(1)]) await mkdir(join(upper, name), { recursive: true });
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(upper, "etc", name), text, { mode: 0o644 });
}
