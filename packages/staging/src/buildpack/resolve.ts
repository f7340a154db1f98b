import { randomUUID } from "node:crypto";
import { join, resolve as absolute } from "node:path";
import { fileURLToPath } from "node:url";
import { StagingError } from "../errors.ts";
import { maskSecrets } from "../mask.ts";
import type { Fetch } from "../ports.ts";
import { type Buildpack, describeBuildpack } from "./buildpack.ts";
import { fetchShared, fetchZip, findTop, openLocal, refuse } from "./fetch.ts";
import { cloneRepository } from "./git.ts";
import type { CatalogEntry } from "./system.ts";

export interface ResolveOptions {
  catalog: readonly CatalogEntry[];
  /** Folder of this task for whatever is fetched. */
  folder: string;
  /** Folder that outlives the task: catalog buildpacks with a URL are fetched once, by key. Default: fetched each time. */
  sharedDir?: string | undefined;
  /** Accept folders, zip files and `file:` or `ssh:` URLs, which reach into this machine. */
  allowLocal: boolean;
  stack: string;
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  onLine: (text: string, stream: "out" | "err") => void;
  onStart?: (pid: number) => void;
  fetch?: Fetch | undefined;
}

/** The ways to name a buildpack. */
export type BuildpackSource =
  | { readonly kind: "catalog"; readonly entry: CatalogEntry }
  | { readonly kind: "git"; readonly url: string; readonly ref: string | undefined; readonly local: boolean }
  | { readonly kind: "zip-url"; readonly url: string }
  | { readonly kind: "path"; readonly path: string };

/** Entries that may be used at all, a stack's own before those for any stack, otherwise in their order. */
export const usableEntries = (catalog: readonly CatalogEntry[], stack: string): readonly CatalogEntry[] =>
  catalog.filter((entry) => entry.enabled !== false && (!entry.stack || entry.stack === stack)
    // Of two with one name the one made for this stack counts.
    && (entry.stack === stack || !catalog.some((other) => other !== entry && other.name === entry.name && other.stack === stack && other.enabled !== false)));

/**
 * Reads a name as an app gives it: catalog name, URL (of a zip when its path ends in `.zip`, else of a git repository, with `#ref`), folder or zip.
 * @throws StagingError `STAGING_BUILDPACK_UNKNOWN`, `STAGING_BUILDPACK_NOT_ALLOWED`, `STAGING_STACK_UNSUPPORTED`
 */
export function readSource(name: string, { catalog, allowLocal, stack }: Pick<ResolveOptions, "catalog" | "allowLocal" | "stack">): BuildpackSource {
  const isNamed = (entry: CatalogEntry): boolean => entry.name === name || entry.key === name || (entry.aliases?.includes(name) ?? false);
  const entry = usableEntries(catalog, stack).find(isNamed);
  if (entry) return { kind: "catalog", entry };
  const hidden = catalog.find(isNamed);
  if (hidden?.enabled === false) throw refuse("STAGING_BUILDPACK_NOT_ALLOWED", name, `the buildpack ${name} is disabled; ask for another one, or let an operator enable it`);
  if (hidden) throw refuse("STAGING_STACK_UNSUPPORTED", name, `the buildpack ${name} is for the stack ${hidden.stack}, and this app is staged on ${stack}; choose another stack or buildpack`);

  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(name)?.[1]?.toLowerCase();
  const local = (): void => {
    if (!allowLocal) throw refuse("STAGING_BUILDPACK_NOT_ALLOWED", name, `${maskSecrets(name)} reaches into the machine that stages; give a name or an http(s) URL`);
  };
  if (scheme === "http" || scheme === "https") {
    const url = parseUrl(name);
    if (/\.zip$/i.test(url.pathname)) return { kind: "zip-url", url: name };
    const ref = url.hash === "" ? undefined : decodeURIComponent(url.hash.slice(1));
    url.hash = "";
    return { kind: "git", url: url.href, ref, local: false };
  }
  if (scheme === "git") return { kind: "git", ...splitRef(name), local: false };
  if (scheme === "ssh" || scheme === "file" || /^[\w.-]+@[\w.-]+:/.test(name)) {
    local();
    if (scheme === "file" && /\.zip$/i.test(name)) return { kind: "path", path: fileURLToPath(name) };
    return { kind: "git", ...splitRef(name), local: true };
  }
  if (scheme !== undefined) throw refuse("STAGING_BUILDPACK_UNKNOWN", name, `a buildpack cannot be fetched by ${scheme}:; use https`);
  if (/[/\\]|^\.|\.zip$/.test(name)) {
    local();
    return { kind: "path", path: absolute(name) };
  }
  const known = usableEntries(catalog, stack).map((each) => each.name).join(", ");
  throw refuse("STAGING_BUILDPACK_UNKNOWN", name, `there is no buildpack named ${JSON.stringify(name)}; known are ${known || "none"}; a URL works too${allowLocal ? `, and a folder is written ./${name}` : ""}`);
}

/**
 * Brings the buildpack of that name to this machine and describes it.
 * @throws StagingError `STAGING_BUILDPACK_*`, `STAGING_STACK_UNSUPPORTED`
 */
export async function resolveBuildpack(name: string, options: ResolveOptions): Promise<Buildpack> {
  const source = readSource(name, options);
  const label = maskSecrets(source.kind === "catalog" ? source.entry.name : name);
  const buildpack = await bring(source, label, options);
  if (buildpack.stack !== undefined && buildpack.stack !== options.stack)
    throw refuse("STAGING_STACK_UNSUPPORTED", label, `the buildpack ${label} is for the stack ${buildpack.stack}, and this app is staged on ${options.stack}; choose another stack or buildpack`);
  return buildpack;
}

async function bring(source: BuildpackSource, label: string, options: ResolveOptions): Promise<Buildpack> {
  const { folder, signal, onLine } = options;
  // The same buildpack may stand twice in a list.
  const target = join(folder, randomUUID());
  switch (source.kind) {
    case "git": {
      onLine(`-----> Cloning ${label}`, "out");
      const protocols = options.allowLocal ? ["https", "http", "git", "ssh", "file"] : ["https", "http", "git"];
      await cloneRepository(source.url, target, { ...options, ref: source.ref, home: join(folder, "git-home"), protocols });
      return describeBuildpack(label, label, await findTop(target, label));
    }
    case "zip-url":
      onLine(`-----> Downloading ${label}`, "out");
      return describeBuildpack(label, label, await fetchZip({ url: source.url, label, target }, options));
    case "path":
      return describeBuildpack(source.path, label, await openLocal(source.path, { label, target }, signal));
    case "catalog": {
      const { entry } = source;
      const key = entry.key ?? entry.name;
      if (entry.path !== undefined) return describeBuildpack(key, label, await openLocal(entry.path, { label, target }, signal));
      if (entry.url === undefined) throw refuse("STAGING_BUILDPACK_INVALID", label, `the buildpack ${label} has neither a path nor a URL; upload its bits`);
      return describeBuildpack(key, label, await fetchShared({ url: entry.url, sha256: entry.sha256, key, label, target }, options));
    }
  }
}

const splitRef = (name: string): { url: string; ref: string | undefined } => {
  const at = name.indexOf("#");
  return at === -1 ? { url: name, ref: undefined } : { url: name.slice(0, at), ref: name.slice(at + 1) };
};

function parseUrl(name: string): URL {
  try {
    return new URL(name);
  } catch (error) {
    throw new StagingError("STAGING_BUILDPACK_UNKNOWN", `${maskSecrets(name)} is not a valid URL`, { cause: error, phase: "buildpack" });
  }
}
