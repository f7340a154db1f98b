import { randomUUID } from "node:crypto";
import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { StagingError, type StagingErrorCode, toStagingError } from "../errors.ts";
import { download } from "../http.ts";
import { maskSecrets } from "../mask.ts";
import { unpackZip } from "../package/unpack.ts";
import type { Fetch } from "../ports.ts";
import { removeTree } from "../remove-tree.ts";
import { folderName } from "./buildpack.ts";

export interface FetchOptions {
  signal: AbortSignal;
  fetch?: Fetch | undefined;
  /** Folder that outlives the task: what has a key is fetched once. */
  sharedDir?: string | undefined;
}

/** Where a buildpack is unpacked, and how it is called when that fails. */
export interface Destination {
  readonly target: string;
  readonly label: string;
}

export interface RemoteZip extends Destination {
  readonly url: string;
  readonly sha256?: string | undefined;
}

/** Buildpacks carry whole language runtimes, so more is allowed than for an app. */
export const buildpackLimits = { maxEntries: 250_000, maxBytes: 8 * 1024 ** 3, maxRatio: 1_000 } as const;

/** An error about the buildpack of that name; credentials in a URL are hidden. */
export const refuse = (code: StagingErrorCode, name: string, text: string): StagingError =>
  new StagingError(code, text, { phase: "buildpack", buildpack: maskSecrets(name) });

/**
 * A folder as it is, or a zip on this machine, unpacked.
 * @throws StagingError `STAGING_BUILDPACK_UNKNOWN`, `STAGING_BUILDPACK_INVALID`
 */
export async function openLocal(path: string, { target, label }: Destination, signal: AbortSignal): Promise<string> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isDirectory()) return findTop(path, label);
  if (!status?.isFile()) throw refuse("STAGING_BUILDPACK_UNKNOWN", label, `there is no buildpack at ${path}`);
  return unpack(path, { target, label }, signal);
}

/**
 * Fetches a zip and unpacks it.
 * @throws StagingError `STAGING_BUILDPACK_DOWNLOAD_FAILED`, `STAGING_BUILDPACK_DIGEST_MISMATCH`, `STAGING_BUILDPACK_INVALID`
 */
export async function fetchZip({ url, sha256, target, label }: RemoteZip, { signal, fetch }: FetchOptions): Promise<string> {
  const file = `${target}.zip`;
  await mkdir(join(target, ".."), { recursive: true });
  try {
    await download(url, file, {
      signal, sha256, fetch, maxBytes: 2 * 1024 ** 3, code: "STAGING_BUILDPACK_DOWNLOAD_FAILED", mismatch: "STAGING_BUILDPACK_DIGEST_MISMATCH", what: `the buildpack ${label}`,
    });
    return await unpack(file, { target, label }, signal);
  } finally {
    await rm(file, { force: true });
  }
}

const fetching = new Map<string, Promise<unknown>>();

/** One copy per key for all tasks; it appears by rename, so nobody ever sees half of it. */
export async function fetchShared({ key, ...zip }: RemoteZip & { key: string }, options: FetchOptions): Promise<string> {
  const { sharedDir } = options;
  if (sharedDir === undefined) return fetchZip(zip, options);
  const home = join(sharedDir, folderName(key));
  // Two tasks that want the same one at once: the second waits for the first and then looks for itself, for the first may have failed.
  for (let other = fetching.get(home); other; other = fetching.get(home)) await other.catch(() => {});
  const work = (async () => {
    if (await exists(home)) return;
    await mkdir(sharedDir, { recursive: true });
    const fresh = join(sharedDir, `new-${randomUUID()}`);
    try {
      await fetchZip({ ...zip, target: fresh }, options);
      await rename(fresh, home).catch(async (error: unknown) => {
        if (!(await exists(home))) throw error;
      });
    } finally {
      await removeTree(fresh);
    }
  })();
  fetching.set(home, work);
  try {
    await work;
  } finally {
    fetching.delete(home);
  }
  return findTop(home, zip.label);
}

async function unpack(zip: string, { target, label }: Destination, signal: AbortSignal): Promise<string> {
  try {
    const summary = await unpackZip(zip, target, { ...buildpackLimits, symlinks: "inside", signal });
    if (summary.files === 0) throw refuse("STAGING_BUILDPACK_INVALID", label, `the buildpack ${label} is an empty zip`);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { code, message } = toStagingError(error);
    if (!code.startsWith("STAGING_PACKAGE_")) throw error;
    throw new StagingError("STAGING_BUILDPACK_INVALID", `the zip of the buildpack ${label} cannot be used: ${message}`, { cause: error, phase: "buildpack", buildpack: label });
  }
  const top = await findTop(target, label);
  // Many zip tools lose the x bits, which then looks like a broken buildpack; and scripts may run as another user.
  await makeReadable(target);
  for (const name of await readdir(join(top, "bin"))) await chmod(join(top, "bin", name), 0o755);
  return top;
}

/** `bin/` at the top, or in the one folder at the top (as archives of code hosts have it). */
export async function findTop(folder: string, label: string): Promise<string> {
  if (await exists(join(folder, "bin"))) return folder;
  const names = (await readdir(folder)).filter((name) => name !== ".git");
  const [only] = names;
  if (names.length === 1 && only !== undefined && (await exists(join(folder, only, "bin")))) return join(folder, only);
  throw refuse("STAGING_BUILDPACK_INVALID", label, `the buildpack ${label} has no bin folder at its top, nor in a single folder at its top`);
}

const exists = (path: string): Promise<boolean> => stat(path).then((status) => status.isDirectory(), () => false);

async function makeReadable(folder: string): Promise<void> {
  for (const item of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (item.isSymbolicLink()) continue;
    const path = join(item.parentPath, item.name);
    const { mode } = await stat(path);
    await chmod(path, mode | (item.isDirectory() || mode & 0o100 ? 0o555 : 0o444));
  }
}
