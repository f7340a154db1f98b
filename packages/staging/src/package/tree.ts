import { StagingError } from "../errors.ts";
import type { ResolvedLimits } from "./limits.ts";
import { parentsOf, quoteName } from "./names.ts";

export type EntryKind = "file" | "directory" | "symlink";

/** What a package says that it contains, under its safe name. */
export interface TreeEntry {
  readonly name: string;
  readonly kind: EntryKind;
  /** Permission bits, already masked. */
  readonly mode: number;
  /** Bytes of a file; 0 otherwise. */
  readonly sizeBytes: number;
  /** Of a symlink. */
  readonly target?: string;
}

/**
 * The shape of a package before anything is written: one entry per name (the last one wins), folders that are only implied,
 * and the rules that need the whole picture: no entry below a file, none below a link, no link that leads outside.
 */
export interface PackageTree<E extends TreeEntry> {
  /** @throws StagingError `STAGING_PACKAGE_TOO_MANY_ENTRIES`, `STAGING_PACKAGE_TOO_LARGE`, `STAGING_PACKAGE_SYMLINK_OUTSIDE` (policy `refuse`) */
  add(entry: E): void;
  /** @throws StagingError `STAGING_PACKAGE_NAME_CONFLICT`, `STAGING_PACKAGE_THROUGH_SYMLINK`, `STAGING_PACKAGE_SYMLINK_OUTSIDE` */
  check(): void;
  readonly entries: ReadonlyMap<string, E>;
  /** Folders without an entry of their own, parents first. */
  implied(): string[];
  readonly totalBytes: number;
}

/** Masked with 0777, and the owner can always read and write what is his. */
export const safeMode = (mode: number, kind: EntryKind): number => (mode & 0o777) | (kind === "directory" ? 0o700 : 0o600);

export function createTree<E extends TreeEntry>(limits: ResolvedLimits): PackageTree<E> {
  const entries = new Map<string, E>();
  const parents = new Set<string>();
  let totalBytes = 0;
  let seen = 0;

  const tooMany = (): never => {
    throw new StagingError("STAGING_PACKAGE_TOO_MANY_ENTRIES", `the package has more than ${limits.maxEntries} files and folders; leave out what the app does not need (a .cfignore file helps)`, { phase: "package" });
  };

  return {
    entries,
    get totalBytes() {
      return totalBytes;
    },
    add(entry) {
      if (++seen > limits.maxEntries) tooMany();
      if (entry.kind === "symlink" && limits.symlinks === "refuse")
        throw new StagingError("STAGING_PACKAGE_SYMLINK_OUTSIDE", `${quoteName(entry.name)} is a symbolic link, and links are not accepted here; send a copy of the file instead`, { phase: "package" });
      // Twice the same name: the later one counts, but the bytes of both are work for us, so both are counted.
      totalBytes += entry.sizeBytes;
      if (totalBytes > limits.maxBytes)
        throw new StagingError("STAGING_PACKAGE_TOO_LARGE", `the package is larger than ${limits.maxBytes} bytes when unpacked; leave out what the app does not need`, { phase: "package" });
      entries.delete(entry.name);
      entries.set(entry.name, entry);
      for (const parent of parentsOf(entry.name)) {
        if (parents.has(parent)) break;
        parents.add(parent);
        if (parents.size + entries.size > 2 * limits.maxEntries) tooMany();
      }
    },
    check() {
      let extra = 0;
      for (const parent of parents) {
        const entry = entries.get(parent);
        if (!entry) extra++;
        else if (entry.kind === "symlink")
          throw new StagingError("STAGING_PACKAGE_THROUGH_SYMLINK", `${quoteName(parent)} is a symbolic link, and the package also has entries below it; send the folder itself instead of the link`, { phase: "package" });
        else if (entry.kind === "file")
          throw new StagingError("STAGING_PACKAGE_NAME_CONFLICT", `${quoteName(parent)} is a file, and the package also has entries below it; make the archive again from a clean folder`, { phase: "package" });
      }
      if (entries.size + extra > limits.maxEntries) tooMany();
      if (limits.symlinks === "inside") checkLinks(entries);
    },
    implied: () => [...parents].filter((parent) => !entries.has(parent)).sort(),
  };
}

/**
 * Follows every link through the tree as it will be, link by link: a lexical look at one target is not enough,
 * since `a/../b` leads elsewhere when `a` is a link itself. Loops are harmless, they lead nowhere.
 */
function checkLinks(entries: ReadonlyMap<string, TreeEntry>): void {
  let budget = 5_000_000;
  for (const entry of entries.values()) {
    if (entry.kind !== "symlink") continue;
    const outside = (): never => {
      throw new StagingError("STAGING_PACKAGE_SYMLINK_OUTSIDE", `the symbolic link ${quoteName(entry.name)} leads out of the package to ${quoteName(entry.target ?? "")}; send a copy of the file instead`, { phase: "package" });
    };
    const at = entry.name.split("/").slice(0, -1);
    const todo = split(entry.target ?? "", outside).reverse();
    let hops = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (--budget < 0) throw new StagingError("STAGING_PACKAGE_TOO_MANY_ENTRIES", "the symbolic links of the package are too tangled to follow; send copies of the files instead", { phase: "package" });
      if (part === "..") {
        if (at.pop() === undefined) outside();
        continue;
      }
      at.push(part);
      const next = entries.get(at.join("/"));
      if (next?.kind !== "symlink") continue;
      if (++hops > 40) break;
      at.pop();
      todo.push(...split(next.target ?? "", outside).reverse());
    }
  }
}

const split = (target: string, outside: () => never): string[] =>
  target === "" || target.startsWith("/") || target.includes("\0") ? outside() : target.split("/").filter((part) => part !== "" && part !== ".");
