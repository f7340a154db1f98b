import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A buildpack that can be asked for by name. */
export interface CatalogEntry {
  /** How apps ask for it. */
  readonly name: string;
  /** Other names for it. */
  readonly aliases?: readonly string[];
  /** What identifies its content; default: the name. */
  readonly key?: string;
  /** A folder or a zip on this machine ... */
  readonly path?: string;
  /** ... or where its zip can be fetched. */
  readonly url?: string;
  /** Checksum of that zip, hexadecimal. */
  readonly sha256?: string;
  /** Only for this stack. Default: any. */
  readonly stack?: string | null;
  /** Default true. A disabled one is neither tried nor accepted by name. */
  readonly enabled?: boolean;
}

/** One of the buildpacks that come with this package. */
export interface SystemBuildpack extends CatalogEntry {
  readonly path: string;
  readonly version: string;
}

/** A pushed static site often has a `package.json` too, so `staticfile` is tried first; `binary` never detects. */
const names = ["staticfile", "nodejs", "binary"] as const;

/** The buildpacks that come with this package, in the order in which they are tried. */
export function systemBuildpacks(): readonly SystemBuildpack[] {
  const root = findRoot();
  return names.map((short) => {
    const path = join(root, short);
    return { name: `${short}_buildpack`, aliases: [short], path, version: readFileSync(join(path, "VERSION"), "utf8").trim() };
  });
}

/** The folder stands beside `src` and beside `dist`; a bundler may have put this file deeper. */
function findRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at)) {
    const root = join(at, "buildpacks");
    if (names.every((name) => existsSync(join(root, name, "VERSION")))) return root;
  }
  throw new Error("the buildpacks folder of @opencf/staging is missing; install the package again");
}
