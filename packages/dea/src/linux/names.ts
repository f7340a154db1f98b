import { createHash } from "node:crypto";
import { join } from "node:path";
import { addressText, type Range } from "../container/egress.ts";

/** Gone after a reboot, as are the links, rules, cgroups and mounts that it tells of. */
export const runRoot = "/run/opencf-dea";

/** Parent of every cgroup of every executor. */
export const cgroupRoot = "opencf-dea";

/** What an executor's things are called: derived from its id, so that its next start finds them, and nobody else's. */
export interface OwnerNames {
  /** 8 hex digits. */
  tag: string;
  runDir: string;
  /** State of the OCI runtime. */
  runtimeDir: string;
  containersDir: string;
  /** Relative to each controller's root. */
  cgroup: string;
  /** Table of nftables. */
  table: string;
  /** Source of the mounts, as `mount` shows it. */
  mountLabel: string;
}

export function ownerNames(owner: string): OwnerNames {
  const tag = createHash("sha256").update(owner).digest("hex").slice(0, 8);
  const runDir = join(runRoot, tag);
  return {
    tag,
    runDir,
    runtimeDir: join(runDir, "runtime"),
    containersDir: join(runDir, "c"),
    cgroup: `${cgroupRoot}/${tag}`,
    table: `opencf_${tag}`,
    mountLabel: `opencf-${tag}`,
  };
}

/** Folders of one container below {@link runRoot}. */
export const containerPaths = (names: OwnerNames, handle: string): { dir: string; disk: string; home: string; root: string; layer: string; bundle: string; cgroup: string } => {
  const dir = join(names.containersDir, handle);
  const disk = join(dir, "disk");
  const bundle = join(dir, "bundle");
  return { dir, disk, home: join(disk, "home"), root: join(dir, "root"), layer: join(dir, "layer"), bundle, cgroup: `${names.cgroup}/${handle}` };
};

/** A container's place on this machine: its number decides its addresses and its users, so no two share any. */
export interface Slot {
  number: number;
  /** Host's end and container's end of the link; the network is a /30. */
  hostAddress: string;
  address: string;
  /** Name of the link on the host, at most 15 bytes (IFNAMSIZ). */
  link: string;
  /** Container's end, until the container has it and calls it eth0. */
  peer: string;
  /** First of 65 536 user and group ids: root inside is this one outside. */
  firstId: number;
}

/** Ids of one container. */
export const idsPerSlot = 65_536;
/** Above what distributions give to people, services and their subordinate ids. */
const firstIdOfAll = 1_200_000_000;

/** How many /30 networks fit. */
export const slotsIn = (pool: Range): number => Math.floor((pool.last - pool.first + 1) / 4);

export function slotOf(number: number, pool: Range): Slot {
  const base = pool.first + number * 4;
  return {
    number,
    hostAddress: addressText(base + 1),
    address: addressText(base + 2),
    link: `ocf${number}`,
    peer: `ocf${number}p`,
    firstId: firstIdOfAll + number * idsPerSlot,
  };
}
