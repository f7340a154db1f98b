import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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
export function writeEtc(upper: string, { spec, slot, lowerDir, resolvConf }: EtcInput): void {
  const hostname = spec.handle.slice(0, 63);
  const files: Record<string, string> = { hostname: `${hostname}\n`, hosts: hostsFile(hostname, slot.address), "resolv.conf": resolvConf };
  if (spec.stack !== undefined) {
    Object.assign(files, userFiles(textOf(join(lowerDir, "etc/passwd")), textOf(join(lowerDir, "etc/group"))));
    for (const name of ["proc", "sys", "dev", appUser.home.slice(1)]) mkdirSync(join(upper, name), { recursive: true });
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(upper, "etc", name), text, { mode: 0o644 });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
