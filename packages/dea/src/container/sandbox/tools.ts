import { statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isExecutable } from "../../executable.ts";

const systemFolders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];

/** Path of a program: where systems keep them first, for what is there is seen inside too. */
function findTool(name: string): string | undefined {
  const folders = [...systemFolders, ...(process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder.startsWith("/"))];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Programs that sandboxes are made with, by path. */
export interface Tools {
  bash: string;
  unshare: string;
  nsenter: string;
  setpriv: string;
  bubblewrap: string | undefined;
}

/** Where to get a program on Debian and its kin. */
export const packages = { bash: "bash", unshare: "util-linux", nsenter: "util-linux", setpriv: "util-linux", bubblewrap: "bubblewrap" } as const;

/** The programs, or the names of those that are missing. Bubblewrap may be missing. */
export function findTools(): Tools | { missing: string[] } {
  const [bash, unshare, nsenter, setpriv] = ["bash", "unshare", "nsenter", "setpriv"].map((name) => findTool(name));
  if (bash === undefined || unshare === undefined || nsenter === undefined || setpriv === undefined) {
    return { missing: Object.entries({ bash, unshare, nsenter, setpriv }).flatMap(([name, path]) => (path === undefined ? [name] : [])) };
  }
  return { bash, unshare, nsenter, setpriv, bubblewrap: findTool("bwrap") };
}

/** A bubblewrap that runs with root's rights makes no user namespace of its own: nobody but root could enter what it made. */
export const isSetuid = (path: string): boolean => {
  try {
    return (statSync(path).mode & 0o4000) !== 0;
  } catch {
    return false;
  }
};
