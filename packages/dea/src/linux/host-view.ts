import { lstat, mkdir, readdir, rename, rm, stat, symlink, readlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { etcFiles, etcRuntimes, programFolders } from "../host-files.ts";
import { appUser, userFiles } from "./etc-files.ts";
import { run } from "./programs.ts";

export interface HostView {
  /** Read-only lower layer of every container's root. */
  lowerDir: string;
  /** To be seen inside at the same path. */
  hostPaths: string[];
}

/**
 * Makes the skeleton of a root that shows only what is needed to run the host's programs. `extra` names more paths to
 * show. With `keep` a skeleton that is there already stays as it is: containers stand on it.
 */
export async function makeHostView(dir: string, extra: readonly string[] = [], keep = false): Promise<HostView> {
  const lowerDir = join(dir, "host-view");
  if (keep && (await stat(lowerDir).catch(() => undefined))) {
    const folders = await Promise.all(programFolders.map(async (path) => ((await lstat(path).catch(() => undefined))?.isDirectory() ? [path] : [])));
    return { lowerDir, hostPaths: [...folders.flat(), ...extra] };
  }
  const part = `${lowerDir}.part`;
  await Promise.all([rm(part, { recursive: true, force: true }), rm(lowerDir, { recursive: true, force: true })]);
  for (const name of ["dev", "etc", "proc", "sys", "tmp", "var/tmp", "run", appUser.home.slice(1)]) await mkdir(join(part, name), { recursive: true });
  const hostPaths: string[] = [];
  for (const path of programFolders) {
    const entry = await lstat(path).catch(() => undefined);
    if (entry?.isSymbolicLink()) await symlink(await readlink(path), join(part, path));
    else if (entry?.isDirectory()) {
      await mkdir(join(part, path));
      hostPaths.push(path);
    }
  }
  for (const path of extra) {
    const entry = await stat(path);
    await mkdir(join(part, entry.isDirectory() ? path : dirname(path)), { recursive: true });
    if (!entry.isDirectory()) await writeFile(join(part, path), "");
    hostPaths.push(path);
  }
  const runtimes = (await readdir("/etc")).filter((name) => etcRuntimes.test(name));
  const byFolder = new Map<string, string[]>();
  for (const name of [...etcFiles, ...runtimes]) {
    if (!(await lstat(join("/etc", name)).catch(() => undefined))) continue;
    const folder = dirname(join(part, "etc", name));
    byFolder.set(folder, [...(byFolder.get(folder) ?? []), join("/etc", name)]);
  }
  for (const [folder, files] of byFolder) {
    await mkdir(folder, { recursive: true });
    await run("cp", ["-a", "-t", folder, ...files]);
  }
  // What not everybody on the host may read is nobody's business inside.
  await run("find", [join(part, "etc"), "!", "-type", "l", "!", "-perm", "-o=r", "-delete"]);
  const users = userFiles();
  await writeFile(join(part, "etc/passwd"), users.passwd);
  await writeFile(join(part, "etc/group"), users.group);
  await writeFile(join(part, "etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n");
  await rename(part, lowerDir);
  return { lowerDir, hostPaths };
}
