import { lstatSync, readFileSync, readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { etcFiles, etcRuntimes, programFolders } from "../../host-files.ts";

/** Where an app finds its home: the place Cloud Foundry's droplets are built for. */
export const homeInside = "/home/vcap";

/** Parts of /proc that speak of the whole machine: inside they are read-only. */
export const coveredProc: readonly string[] = ["sys", "sysrq-trigger", "irq", "bus"];

/** What of the host an app in a sandbox sees. Everything is read-only. */
export interface HostView {
  /** Links at the top, such as `/bin` to `usr/bin`. */
  links: readonly { path: string; target: string }[];
  /** Folders and files, each by where it is on the host and where it is to be seen. */
  shown: readonly { from: string; at: string; folder: boolean }[];
  /** Folders that lie in what is shown and are empty inside. */
  hidden: readonly string[];
}

export interface ViewOptions {
  /** Search path of programs. Folders that are not shown anyway are shown with the folders beside them that programs need. */
  path: string;
  /** More to be seen. */
  show?: readonly string[];
  /** Not to be seen, wherever it lies. */
  hide?: readonly string[];
}

/** Files of `/etc` beside the list that programs need where nobody gives them a set of their own. */
const ownEtc = ["passwd", "group", "hosts", "hostname", "nsswitch.conf", "resolv.conf"];
/** More folders where programs are installed. */
const moreFolders = ["/opt", "/nix", "/sys/devices/system/cpu"];
/** What programs in `bin` need beside it. */
const beside = ["bin", "sbin", "lib", "lib32", "lib64", "libexec", "include", "share"];
/** Most folders that a search path may add. */
const maxPathFolders = 64;

const real = (path: string): string | undefined => {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
};
const isFolder = (path: string): boolean => {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
};
/** What not everybody on the host may read is nobody's business inside: it matters where root runs the executor. */
const isPublic = (path: string): boolean => {
  try {
    return (statSync(path).mode & 0o004) !== 0;
  } catch {
    return false;
  }
};

export const isBelow = (path: string, folder: string): boolean => path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`);

/** Folders of programs for one folder of a search path: `bin` comes with its neighbours, but a home is never shown. */
export function foldersBeside(folder: string, homes: readonly string[]): string[] {
  const parent = dirname(folder);
  const isHome = (path: string): boolean => path === "/" || homes.includes(path) || dirname(path) === "/home";
  if (isHome(folder)) return [];
  if (!/^s?bin$/.test(basename(folder)) || isHome(parent)) return [folder];
  // Beside programs, `~/.local` keeps what belongs to its owner alone.
  const names = basename(parent) === ".local" ? ["bin", "lib"] : beside;
  return [...new Set([folder, ...names.map((name) => join(parent, name))])];
}

/** Mount points below the shown folders: a mount that shows a folder does not show them read-only. */
function mountsBelow(folders: readonly string[]): string[] {
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  const points = text.split("\n").flatMap((line) => {
    const point = line.split(" ")[4]?.replace(/\\(\d{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return point !== undefined && folders.some((folder) => point !== folder && isBelow(point, folder)) ? [point] : [];
  });
  return [...new Set(points)].sort();
}

/** Looks at the host and says what is to be seen of it. */
export function hostView({ path, show = [], hide = [] }: ViewOptions): HostView {
  const links: HostView["links"][number][] = [];
  const shown = new Map<string, { from: string; at: string; folder: boolean }>();
  const covered = (at: string): boolean => [...shown.values()].some((one) => one.folder && isBelow(at, one.at)) || links.some((link) => isBelow(at, link.path));
  const add = (at: string): void => {
    const from = real(at);
    if (from !== undefined && !covered(at) && at !== "/") shown.set(at, { from, at, folder: isFolder(from) });
  };
  for (const folder of programFolders) {
    try {
      if (lstatSync(folder).isSymbolicLink()) links.push({ path: folder, target: readlinkSync(folder) });
      else add(folder);
    } catch {
      // This host has no such folder.
    }
  }
  for (const folder of moreFolders) if (isPublic(folder)) add(folder);
  const runtimes = readdirSync("/etc").filter((name) => etcRuntimes.test(name));
  for (const name of [...etcFiles, ...ownEtc, ...runtimes]) if (isPublic(join("/etc", name))) add(join("/etc", name));
  const homes = ["/root", homedir(), real(homedir()) ?? ""];
  const programs = [dirname(process.execPath), ...path.split(delimiter)].filter((folder) => folder.startsWith("/") && isFolder(folder)).slice(0, maxPathFolders);
  for (const folder of programs) {
    if (covered(folder) && covered(real(folder) ?? folder)) continue;
    for (const place of [folder, real(folder) ?? folder]) for (const one of foldersBeside(place, homes)) if (isFolder(one)) add(one);
  }
  for (const one of show) add(one);
  const folders = [...shown.values()].filter(({ folder }) => folder);
  for (const point of mountsBelow(folders.map(({ from }) => from))) if (!shown.has(point)) shown.set(point, { from: point, at: point, folder: isFolder(point) });
  const hidden = hide.flatMap((one) => real(one) ?? []).filter((one) => folders.some(({ at, from }) => isBelow(one, at) || isBelow(one, from)));
  // A folder before what lies in it.
  return { links, shown: [...shown.values()].sort((a, b) => (a.at < b.at ? -1 : 1)), hidden: [...new Set(hidden)] };
}
