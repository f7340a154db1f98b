import { constants } from "node:fs";
import { access, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, run } from "./programs.ts";

/*
 * A droplet that many containers share belongs to root on the host, and to its own app's user in each of them: a mount
 * with mapped ids (mount_setattr(2), Linux 5.12; below overlayfs 5.19). mount(8) can do that from 2.39 on; what calls
 * the kernel where it is older is perl, which every Debian has.
 */
const script = `use strict; use warnings;
my ($from, $to, $uid, $gid, $unshare, @mount) = @ARGV;
my ($empty, $one) = ("", "");
pipe(my $ready, my $is_ready) or die "pipe: $!";
pipe(my $done, my $is_done) or die "pipe: $!";
my $pid = fork() // die "fork: $!";
if ($pid == 0) {
  close $is_done;
  syscall(0 + $unshare, 0x10000000) == 0 or exit 1;
  syswrite $is_ready, "x";
  sysread $done, $one, 1;
  exit 0;
}
close $is_ready;
sysread($ready, $one, 1) or die "no user namespace can be made";
for (["uid_map", $uid], ["gid_map", $gid]) {
  open(my $map, ">", "/proc/$pid/$_->[0]") or die "$_->[0]: $!";
  syswrite($map, "0 $_->[1] 1\\n") or die "$_->[0]: $!";
}
open(my $userns, "<", "/proc/$pid/ns/user") or die "user namespace: $!";
my $tree = syscall(428, -100, $from, 1);
die "open_tree: $!" if $tree < 0;
# Read-only, nosuid, nodev, noatime (of the kinds of atime it takes the place of all), mapped; private.
my $attributes = pack("Q4", 0x1 | 0x2 | 0x4 | 0x10 | 0x100000, 0x70, 1 << 18, fileno($userns));
syscall(442, $tree, $empty, 0x1000, $attributes, length $attributes) == 0 or die "mount_setattr: $!";
syscall(429, $tree, $empty, -100, $to, 4) == 0 or die "move_mount: $!";
close $is_done;
waitpid $pid, 0;
exec @mount or die "mount: $!";
`;

/** Number of unshare(2), the one call of these that has not the same number everywhere. */
const unshareNumbers: Readonly<Record<string, number>> = { x64: 272, arm64: 97 };

export interface SharedHome {
  /** Folder that is shared; its files belong to root. */
  layer: string;
  /** Where it is mounted, with mapped ids. */
  mountPoint: string;
  /** The container's disk; `home` on it becomes the layer with what the app writes over it. */
  disk: string;
  home: string;
  owner: { uid: number; gid: number };
  label: string;
}

/** Lays a private upper layer over a shared folder. Throws DEA_CONTAINER where that does not work; what it mounted is then for `dismantle`. */
export async function mountSharedHome({ layer, mountPoint, disk, home, owner, label }: SharedHome): Promise<void> {
  const unshare = unshareNumbers[process.arch];
  const perl = findProgram("perl");
  if (unshare === undefined || perl === undefined) throw new Error("nothing can map ids here");
  if (/[:,\\]/.test(mountPoint)) throw new Error(`an overlay cannot be made from ${mountPoint}`);
  await access(layer, constants.R_OK);
  const [upper, work] = [join(disk, "own"), join(disk, "own-work")];
  await Promise.all([mkdir(mountPoint), mkdir(upper, { mode: 0o755 }).then(() => chown(upper, owner.uid, owner.gid)), mkdir(work)]);
  const overlay = ["mount", "-t", "overlay", "-o", `nosuid,nodev,lowerdir=${mountPoint},upperdir=${upper},workdir=${work}`, label, home];
  await run(perl, ["-e", script, layer, mountPoint, String(owner.uid), String(owner.gid), String(unshare), ...overlay]);
}
