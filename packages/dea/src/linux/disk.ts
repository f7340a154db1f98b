import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { chmod, lchown, lstat, mkdir, open, readdir, readFile, statfs, truncate } from "node:fs/promises";
import { join } from "node:path";
import { DeaError } from "../errors.ts";
import { appUser } from "./etc-files.ts";
import { run } from "./programs.ts";

/** `loop`: a file system in a file of the executor's folder. `tmpfs`: in the host's memory and swap. */
export type DiskKind = "loop" | "tmpfs";

const blockBytes = 4096;
const inodeBytes = 256;

/** Size of the file for a file system that offers `bytes`: its own tables come on top. */
export const imageBytes = (bytes: number, inodes: number): number =>
  Math.ceil((bytes + inodes * inodeBytes + bytes / 64 + 1024 ** 2) / blockBytes) * blockBytes;

export interface DiskOptions {
  kind: DiskKind;
  /** Of the executor, in its folder; used by `loop`. */
  imageFile: string;
  mountPoint: string;
  /** Source of the mount, as `mount` shows it; used by `tmpfs`. */
  label: string;
  bytes: number;
  inodes: number;
}

/** Makes a disk of this size and mounts it: more than this the kernel gives to nobody on it. Throws DEA_CONTAINER. */
export async function makeDisk({ kind, imageFile, mountPoint, label, bytes, inodes }: DiskOptions): Promise<void> {
  await mkdir(mountPoint, { recursive: true, mode: 0o711 });
  if (kind === "tmpfs") {
    await run("mount", ["-t", "tmpfs", "-o", `nosuid,nodev,mode=711,size=${Math.ceil(bytes)},nr_inodes=${inodes + 16}`, label, mountPoint]);
    return;
  }
  await (await open(imageFile, "wx", 0o600)).close();
  await truncate(imageFile, imageBytes(bytes, inodes));
  // No journal: after a crash of the machine nobody wants this disk back.
  await run("mkfs.ext4", ["-q", "-F", "-b", String(blockBytes), "-I", String(inodeBytes), "-N", String(inodes + 16), "-m", "0", "-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard", imageFile]);
  // The loop device is let go by the kernel when the last mount of it is.
  await run("mount", ["-o", "loop,nosuid,nodev,noatime,noinit_itable", imageFile, mountPoint]);
  await chmod(mountPoint, 0o711);
}

/** Folders of a fresh disk: the app's home, and the upper layer of its root. A dozen calls of some microseconds, so nobody waits for each. */
export function furnishDisk(mountPoint: string, firstId: number): void {
  for (const name of ["home", "work", "upper", "upper/etc", "upper/tmp", "upper/var", "upper/var/tmp"]) mkdirSync(join(mountPoint, name), { mode: 0o755 });
  for (const name of ["upper", "upper/etc", "upper/var"]) chownSync(join(mountPoint, name), firstId, firstId);
  for (const name of ["upper/tmp", "upper/var/tmp"]) {
    chownSync(join(mountPoint, name), firstId, firstId);
    chmodSync(join(mountPoint, name), 0o1777);
  }
  chownSync(join(mountPoint, "home"), firstId + appUser.uid, firstId + appUser.gid);
}

export async function diskUse(mountPoint: string): Promise<{ bytes: number; inodes: number }> {
  const { blocks, bfree, bsize, files, ffree } = await statfs(mountPoint);
  return { bytes: (blocks - bfree) * bsize, inodes: files - ffree };
}

/** Lays the private upper layer over a read-only root. Throws DEA_CONTAINER. */
export async function mountRoot({ lowerDir, disk, root, label }: { lowerDir: string; disk: string; root: string; label: string }): Promise<void> {
  if ([lowerDir, disk].some((path) => /[:,\\]/.test(path))) throw new DeaError("DEA_CONTAINER", `an overlay cannot be made from ${lowerDir}: its name holds a colon, comma or backslash`);
  await mkdir(root, { recursive: true });
  await run("mount", ["-t", "overlay", "-o", `nosuid,nodev,lowerdir=${lowerDir},upperdir=${join(disk, "upper")},workdir=${join(disk, "work")}`, label, root]);
}

/** Mount points below a folder, innermost first, from `/proc/self/mountinfo` (proc(5)). */
export function mountsBelow(dir: string, mountinfo: string): string[] {
  const points = mountinfo.split("\n").map((line) => (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))));
  return points.filter((point) => point.startsWith(`${dir}/`)).reverse();
}

/** Gives a home that the executor filled to the app's user; nobody inside can interfere yet. Of a shared one only what stands on top can be the executor's. */
export async function giveHome(home: string, { uid, gid }: { uid: number; gid: number }, shared: boolean): Promise<void> {
  if (!shared) return void (await run("chown", ["-hR", `${uid}:${gid}`, home]));
  for (const name of await readdir(home)) if ((await lstat(join(home, name))).uid !== uid) await lchown(join(home, name), uid, gid);
}

/** Takes away everything mounted below a folder, or of that only these. Throws DEA_CONTAINER. */
export async function unmountBelow(dir: string, only?: readonly string[]): Promise<void> {
  for (const point of mountsBelow(dir, await readFile("/proc/self/mountinfo", "utf8"))) {
    if (only && !only.includes(point)) continue;
    // Busy for a moment, because somebody looks into it: it goes when they do.
    await run("umount", [point]).catch(() => run("umount", ["-l", point]));
  }
}
