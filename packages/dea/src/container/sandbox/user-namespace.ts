import { existsSync, statSync } from "node:fs";
import { coveredProc, homeInside, isBelow } from "./view.ts";
import type { Enclosure } from "./enclosure.ts";
import type { Tools } from "./tools.ts";

const devices = ["null", "zero", "full", "random", "urandom", "tty"];
const deviceLinks = { fd: "/proc/self/fd", stdin: "fd/0", stdout: "fd/1", stderr: "fd/2", ptmx: "pts/ptmx" };

/** As fstab(5) wants it. */
const field = (text: string): string => text.replace(/[\s\\#]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`);
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** All mounts of a sandbox, for one mount(8): a process each would cost ten times as much. */
function table({ view, homeDir, temporaryDir, rootDir }: Enclosure): string {
  const at = (path: string): string => field(`${rootDir}${path}`);
  const rows = [
    `${field(homeDir)} ${at(homeInside)} none bind,nosuid,nodev`,
    `${field(temporaryDir)} ${at("/tmp")} none bind,nosuid,nodev`,
    ...view.shown.map(({ from, at: to, folder }) => `${field(from)} ${at(to)} none ${folder ? "rbind" : "bind"},ro,nosuid,nodev${isBelow(to, "/tmp") ? ",X-mount.mkdir" : ""}`),
    ...view.hidden.map((path) => `opencf ${at(path)} tmpfs ro,nosuid,nodev,noexec,size=4k,mode=555`),
    `proc ${at("/proc")} proc nosuid,nodev,noexec`,
    ...coveredProc.filter((name) => existsSync(`/proc/${name}`)).map((name) => `${at(`/proc/${name}`)} ${at(`/proc/${name}`)} none bind,ro,nosuid,nodev,noexec`),
    ...devices.map((name) => `/dev/${name} ${at(`/dev/${name}`)} none bind`),
    `devpts ${at("/dev/pts")} devpts newinstance,ptmxmode=0666,mode=620,nosuid,noexec`,
    `shm ${at("/dev/shm")} tmpfs nosuid,nodev,size=64m,mode=1777`,
  ];
  return `${rows.join("\n")}\n`;
}

/**
 * What the first process inside does: builds a root on a small tmpfs, moves there, takes the old one away, and starts the
 * app in a user namespace of its own, in which it has no right over any of this. Then it waits, and ends as the app ended.
 * `$1` is the folder to build in; the rest becomes the app.
 */
function script({ view, rootDir }: Enclosure): string {
  const folders = ["/proc", "/dev/pts", "/dev/shm", "/tmp", "/var", "/run", "/.old", homeInside, ...view.shown.filter(({ folder }) => folder).map(({ at }) => at)];
  const files = [...devices.map((name) => `/dev/${name}`), ...view.shown.filter(({ folder }) => !folder).map(({ at }) => at)];
  const parents = files.map((file) => file.slice(0, file.lastIndexOf("/")));
  const inRoot = (paths: readonly string[]): string => [...new Set(paths)].filter((path) => path !== "").map((path) => quoted(`${rootDir}${path}`)).join(" ");
  const links = [...view.links, { path: "/var/tmp", target: "../tmp" }, ...Object.entries(deviceLinks).map(([name, target]) => ({ path: `/dev/${name}`, target }))];
  return [
    "set -e",
    "exec 7>\"$1.built\"",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "umask 022",
    `mount -t tmpfs -o nosuid,nodev,size=1m,nr_inodes=4k,mode=755 opencf ${quoted(rootDir)}`,
    `mkdir -p ${inRoot([...folders, ...parents])}`,
    ...files.map((file) => `: >${quoted(`${rootDir}${file}`)}`),
    ...links.map(({ path, target }) => `ln -s ${quoted(target)} ${quoted(`${rootDir}${path}`)}`),
    "mount --all --fstab \"$1\"",
    `cd ${quoted(rootDir)}`,
    "pivot_root . .old",
    "cd /",
    "umount -l /.old",
    "rmdir /.old",
    "mount -o remount,bind,ro,nosuid,nodev /",
    "shift",
    "set +e",
    "echo yes >&7",
    "exec 7>&-",
    "exec 5>&1 6>&2 >/dev/null 2>/dev/null",
    "(exec \"$@\" >&5 2>&6 5>&- 6>&-)",
    "exit $?",
  ].join("\n");
}

/** Whether the first process has done its work: until then its children are its tools. */
export function isBuilt(tableFile: string): boolean {
  try {
    return statSync(`${tableFile}.built`).size > 0;
  } catch {
    return false;
  }
}

/** The command line of a sandbox made by unshare(1), and the table of mounts it reads from `tableFile`. */
export function userNamespaceArguments({ unshare, bash }: Tools, enclosure: Enclosure, tableFile: string, inner: readonly string[]): { argv: string[]; table: string } {
  return {
    argv: [
      unshare, "--user", "--map-root-user", "--mount", "--propagation", "private", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--",
      bash, "-p", "-c", script(enclosure), "opencf-sandbox", tableFile, ...inner,
    ],
    table: table(enclosure),
  };
}
