import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textOf } from "../errors.ts";
import { type Cgroups, countsSwap, findCgroups } from "./cgroup.ts";
import { type DiskKind, makeDisk } from "./disk.ts";
import { findProgram, run, says } from "./programs.ts";
import { findRuntime, type Runtime } from "./runtime.ts";

export interface HostFinding {
  name: string;
  ok: boolean;
  /** Nothing is isolated without it. */
  needed: boolean;
  /** What is there, or what is missing and why it matters. */
  detail: string;
  /** How to get it, where it is missing. */
  remedy?: string;
}

/** Who has a thing needs no advice how to get it. */
export const withoutNeedlessRemedy = ({ remedy, ...finding }: HostFinding): HostFinding => (finding.ok || remedy === undefined ? finding : { ...finding, remedy });

/** What this machine has for the `linux` backend: looked at and tried, not assumed. */
export interface LinuxHost {
  able: boolean;
  findings: readonly HostFinding[];
  runtime: Runtime | undefined;
  cgroups: Cgroups | undefined;
  swap: boolean;
  bandwidth: boolean;
  disk: DiskKind | undefined;
}

/** Makes a small disk of this kind and takes it away again. Answers how many milliseconds the making took, or why it failed. */
async function tryDisk(kind: DiskKind): Promise<number | string> {
  const dir = await mkdtemp(join(tmpdir(), "opencf-dea-probe-"));
  const mountPoint = join(dir, "disk");
  try {
    const from = performance.now();
    await makeDisk({ kind, imageFile: join(dir, "disk.img"), mountPoint, label: "opencf-probe", bytes: 2 * 1024 ** 2, inodes: 64 });
    const ms = performance.now() - from;
    await run("umount", [mountPoint]);
    return Math.ceil(ms);
  } catch (error) {
    return textOf(error);
  } finally {
    await rm(dir, { recursive: true, force: true }).catch(() => {});
  }
}

const unshares = (): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn("unshare", ["--user", "--pid", "--net", "--mount", "--ipc", "--uts", "--fork", "true"], { stdio: "ignore", timeout: 5_000 });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });

export interface ProbeOptions {
  /** Names or paths of OCI runtimes, best first. Default runc, then crun. */
  runtimes?: readonly string[];
  /** Kinds of disk to try, best first. Default loop, then tmpfs. */
  disks?: readonly DiskKind[];
}

/** Looks at this machine. Changes nothing that stays. */
export async function probeLinux({ runtimes = ["runc", "crun"], disks = ["loop", "tmpfs"] }: ProbeOptions = {}): Promise<LinuxHost> {
  const linux = process.platform === "linux";
  const root = process.getuid?.() === 0;
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  const cgroups = findCgroups(mountinfo, (dir) => {
    try {
      return readFileSync(join(dir, "cgroup.controllers"), "latin1");
    } catch {
      return "";
    }
  });
  const { runtime, seen } = linux ? await findRuntime(runtimes, cgroups) : { runtime: undefined, seen: [] };
  const overlay = (await readFile("/proc/filesystems", "utf8").catch(() => "")).includes("overlay");
  const namespaces = linux && (await unshares());
  const nsenter = findProgram("nsenter");
  const nft = findProgram("nft");
  const nftWorks = root && nft !== undefined && (await says(nft, ["list", "tables"])) !== undefined;
  const ip = findProgram("ip");
  const tc = findProgram("tc") !== undefined;
  const swap = cgroups !== undefined && countsSwap(cgroups);
  const failures: string[] = [];
  let disk: DiskKind | undefined;
  let diskMs = 0;
  for (const kind of root ? disks : []) {
    const outcome = await tryDisk(kind);
    if (typeof outcome === "number") {
      disk = kind;
      diskMs = outcome;
      break;
    }
    failures.push(`${kind}: ${outcome}`);
  }
  const found: HostFinding[] = [
    { name: "root", ok: root, needed: true, detail: root ? "yes" : "no: namespaces with quotas, links and rules are made by root", remedy: "run it as root" },
    {
      name: "oci runtime", ok: runtime !== undefined, needed: true,
      detail: runtime ? `${runtime.path} (${runtime.version})` : ["neither runc nor crun that will do", ...seen].join("; "), remedy: "apt-get install runc",
    },
    {
      name: "cgroups", ok: cgroups !== undefined, needed: true,
      detail: cgroups ? `version ${cgroups.version}${cgroups.version === 1 && mountinfo.includes(" - cgroup2 ") ? " (hybrid)" : ""}` : "memory and processes cannot be limited",
      remedy: "mount the controllers memory and pids (version 1) or delegate them (version 2)",
    },
    { name: "namespaces", ok: namespaces, needed: true, detail: namespaces ? "user, pid, network, mount, ipc, uts" : "cannot be made", remedy: "sysctl -w user.max_user_namespaces=65536" },
    { name: "nsenter", ok: nsenter !== undefined, needed: true, detail: nsenter ?? "missing: no link can be put into a network namespace", remedy: "apt-get install util-linux" },
    { name: "overlayfs", ok: overlay, needed: true, detail: overlay ? "known to the kernel" : "not known to the kernel", remedy: "modprobe overlay" },
    { name: "ip", ok: ip !== undefined, needed: true, detail: ip ?? "missing: no network of its own", remedy: "apt-get install iproute2" },
    {
      name: "nftables", ok: nftWorks, needed: true,
      detail: nftWorks ? (nft ?? "") : nft === undefined ? "missing: nothing keeps an app from the host" : "nft does not answer: not root, or the kernel lacks nf_tables", remedy: "apt-get install nftables",
    },
    {
      name: "disk quota", ok: disk !== undefined, needed: true,
      detail: disk === "loop" ? `loop-mounted images, one made in ${diskMs} ms` : disk === "tmpfs" ? `tmpfs: disks are kept in memory and swap, one made in ${diskMs} ms` : ["no limited disk can be mounted", ...failures].join("; "),
      remedy: "apt-get install e2fsprogs mount; modprobe loop",
    },
    { name: "swap limit", ok: swap, needed: false, detail: swap ? "counted with memory" : "the kernel does not count swap: an app may swap", remedy: "boot with swapaccount=1, or turn swap off" },
    { name: "bandwidth", ok: tc, needed: false, detail: tc ? "tc" : "tc is missing: no limit of bandwidth", remedy: "apt-get install iproute2" },
  ];
  const findings = found.map(withoutNeedlessRemedy);
  return { able: linux && findings.every(({ ok, needed }) => ok || !needed), findings, runtime, cgroups, swap, bandwidth: tc, disk };
}
