import { coveredProc, homeInside } from "./view.ts";
import type { Enclosure } from "./enclosure.ts";

/** Most that may be kept in `/dev/shm`. */
const sharedMemoryBytes = 64 * 1024 ** 2;

/**
 * The command line of bubblewrap. Inside the outer user namespace the executor's user is root without rights; the one
 * right it keeps, `CAP_SETFCAP`, is what the kernel asks for before the app's own namespace may map that user back.
 */
export function bubblewrapArguments(bubblewrap: string, { view, homeDir, temporaryDir }: Enclosure, inner: readonly string[]): string[] {
  return [
    bubblewrap,
    "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--cap-add", "CAP_SETFCAP",
    ...view.links.flatMap(({ path, target }) => ["--symlink", target, path]),
    "--bind", homeDir, homeInside, "--bind", temporaryDir, "/tmp",
    ...view.shown.flatMap(({ from, at }) => ["--ro-bind", from, at]),
    ...view.hidden.flatMap((path) => ["--perms", "0555", "--tmpfs", path, "--remount-ro", path]),
    // The executor's user may be root, and the kernel asks of a root of whatever namespace only who owns the file.
    "--proc", "/proc", ...coveredProc.flatMap((name) => ["--ro-bind-try", `/proc/${name}`, `/proc/${name}`]),
    "--dev", "/dev", "--perms", "1777", "--size", String(sharedMemoryBytes), "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
    "--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir", "/run",
    "--remount-ro", "/", "--chdir", homeInside,
    "--", ...inner,
  ];
}
