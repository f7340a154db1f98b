import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerSpec } from "../container/container.ts";
import { parseEgress } from "../container/egress.ts";
import { type DiskKind, furnishDisk, makeDisk, mountRoot } from "./disk.ts";
import type { Ground } from "./ground.ts";
import { appPort } from "./linux-container.ts";
import { containerPaths, type Slot } from "./names.ts";
import { makeNetwork } from "./network.ts";
import { writeEtc } from "./write-etc.ts";

export interface BuildInput {
  spec: ContainerSpec;
  slot: Slot;
  /** Read-only layer of its root. */
  lowerDir: string;
  disk: DiskKind;
  dns: readonly string[];
  resolvConf: string;
}

/** Makes what a container stands on: disk, root and network. Throws DEA_CONTAINER; what was made until then is for `dismantle`. */
export async function buildContainer({ names, dir, pool }: Ground, { spec, slot, lowerDir, disk, dns, resolvConf }: BuildInput): Promise<void> {
  const paths = containerPaths(names, spec.handle);
  await mkdir(paths.bundle, { recursive: true, mode: 0o700 });
  // Root inside must pass through here on its way to its root; nobody else may.
  await chown(paths.dir, slot.firstId, slot.firstId);
  const storage = async (): Promise<void> => {
    const image = join(dir, spec.handle, "disk.img");
    await makeDisk({ kind: disk, imageFile: image, mountPoint: paths.disk, label: names.mountLabel, bytes: spec.diskBytes, inodes: spec.inodes ?? 200_000 });
    furnishDisk(paths.disk, slot.firstId);
    writeEtc(join(paths.disk, "upper"), { spec, slot, lowerDir, resolvConf });
    await mountRoot({ lowerDir, disk: paths.disk, root: paths.root, label: names.mountLabel });
  };
  const rules = spec.egress === undefined ? undefined : parseEgress(spec.egress);
  const outcomes = await Promise.allSettled([
    storage(),
    makeNetwork(names.table, { slot, hostPort: spec.hostPort, containerPort: appPort, rules, pool, dns, bandwidth: spec.bandwidth }),
  ]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
