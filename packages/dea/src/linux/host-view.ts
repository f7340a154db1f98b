import { lstat, mkdir, readdir, rename, rm, stat, symlink, readlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { appUser, userFiles } from "./etc-files.ts";
import { run } from "./programs.ts";

/** Folders at the top of a host that hold programs and what they need. Where one is a link, the link is copied. */
const programFolders = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/**
 * Files of `/etc` that programs need to run: certificates, the linker's, names of protocols, time, and where languages
 * keep their settings. Nothing of users, services, keys or the machine.
 */
const etcFiles = [
  "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf", "host.conf", "ld.so.cache", "ld.so.conf",
  "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "mailcap", "mime.types", "networks", "os-release", "perl", "pki/ca-trust", "pki/tls/certs",
  "protocols", "rpc", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
];
/** Beginnings of names in `/etc` of language runtimes, such as `java-17-openjdk` and `python3.11`. */
const etcRuntimes = /^(java|python|php|ruby|mono)[\w.-]*$/;
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
