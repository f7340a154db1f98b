import { join } from "node:path";
import { type CatalogEntry, systemBuildpacks } from "../buildpack/system.ts";
import { createDeadline } from "../deadline.ts";
import { packFolder } from "../droplet/pack.ts";
import { unpackTar } from "../droplet/unpack-tar.ts";
import { toStagingError } from "../errors.ts";
import { download, upload } from "../http.ts";
import type { PackageLimits } from "../package/limits.ts";
import type { Clock, Fetch, Logger } from "../ports.ts";
import { createWorkFolder } from "../script/work-folder.ts";
import { defaultStack, type Droplet, stage, type StageOptions } from "../stage.ts";
import type { LineSender } from "./log-lines.ts";
import { catalogOf, jobOf, type StagingRequest } from "./request.ts";

/** How requests from a bus are built. */
export interface BuildOptions extends PackageLimits, Pick<StageOptions, "runAs" | "searchPath" | "enforceMemory"> {
  /** Stacks which this machine can stand for. Default `["cflinuxfs4"]`. */
  stacks?: readonly string[];
  /** Folder for temporary work and fetched buildpacks. What a dead stager left in it is cleared at start. Default: one per user in the system's temporary folder. */
  workDir: string;
  /** Buildpacks by name, unless a request brings its own list. Default: `systemBuildpacks()`. */
  catalog?: readonly CatalogEntry[];
  /** Accept buildpacks that reach into this machine. Default false: requests come from strangers. */
  allowLocalBuildpacks?: boolean;
  /** Limit for a build whose request names none. Default 900 000 ms. */
  timeoutMs?: number;
  /** Largest package file. Default 1.5 GiB. */
  maxPackageBytes?: number;
  /** Largest build cache that is kept, unpacked. Default 1 GiB. */
  maxCacheBytes?: number;
  /** First pause before a transfer is tried again; doubles. Default 500 ms. */
  retryPauseMs?: number;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

/** One build: package and cache in, droplet and cache out. The deadline covers everything, the transfers too. */
export async function serveRequest(request: StagingRequest, { outer, lines }: { outer: AbortSignal; lines: LineSender }, options: BuildOptions): Promise<Droplet> {
  const {
    workDir, stacks = [defaultStack], catalog = systemBuildpacks(), allowLocalBuildpacks = false, timeoutMs = 900_000, maxPackageBytes = 1.5 * 1024 ** 3,
    maxCacheBytes = 1024 ** 3, retryPauseMs = 500, enforceMemory = true, runAs, searchPath, maxEntries, maxBytes, maxRatio, symlinks, fetch, clock, log,
  } = options;
  using deadline = createDeadline(request.timeout_seconds === undefined ? timeoutMs : request.timeout_seconds * 1_000, outer, clock);
  const { signal } = deadline;
  const transfer = { signal, pauseMs: retryPauseMs, fetch };
  const warn = (text: string): void => lines.send({ text: `**WARNING** ${text}`, stream: "err" });
  await using folder = await createWorkFolder(workDir, log);
  const at = (name: string): string => join(folder.path, name);
  const app = at("package.zip");
  const out = at("droplet.tgz");
  const cache = request.buildpack_cache_upload_uri || request.buildpack_cache_download_uri ? at("cache") : undefined;

  try {
    lines.send({ text: "Downloading app package...", stream: "out" });
    await download(request.download_uri, app, { ...transfer, maxBytes: maxPackageBytes, code: "STAGING_PACKAGE_DOWNLOAD_FAILED", what: "the package" });
    if (cache !== undefined && request.buildpack_cache_download_uri) await fetchCache(request.buildpack_cache_download_uri, cache);
    const limits = { ...(maxEntries !== undefined && { maxEntries }), ...(maxBytes !== undefined && { maxBytes }), ...(maxRatio !== undefined && { maxRatio }), ...(symlinks && { symlinks }) };
    const droplet = await stage({ ...jobOf(request, { app, out, cache }, stacks[0] ?? defaultStack), ...limits }, {
      onLine: (line) => lines.send(line), signal, timeoutMs: deadline.leftMs(), workDir, catalog: catalogOf(request, catalog), allowLocalBuildpacks, enforceMemory,
      buildpacksDir: join(workDir, "buildpacks"), ...(runAs && { runAs }), ...(searchPath !== undefined && { searchPath }), ...(fetch && { fetch }), ...(clock && { clock }), ...(log && { log }),
    });
    lines.send({ text: "Uploading droplet...", stream: "out" });
    await upload(request.upload_uri, out, { ...transfer, sha256: droplet.digest, code: "STAGING_DROPLET_UPLOAD_FAILED", what: "the droplet" });
    if (cache !== undefined && request.buildpack_cache_upload_uri) await sendCache(request.buildpack_cache_upload_uri, cache);
    lines.send({ text: "Staging complete", stream: "out" });
    return droplet;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error;
  }

  async function fetchCache(url: string, into: string): Promise<void> {
    try {
      const file = at("cache-in.tgz");
      if (await download(url, file, { ...transfer, attempts: 2, maxBytes: maxCacheBytes, optional: true, code: "STAGING_INTERNAL", what: "the build cache" }))
        await unpackTar(file, into, { signal, maxBytes: maxCacheBytes, maxEntries: 500_000, symlinks: "any" });
    } catch (error) {
      signal.throwIfAborted();
      warn(`going on without the build cache: ${toStagingError(error).message}`);
    }
  }

  async function sendCache(url: string, from: string): Promise<void> {
    try {
      const file = at("cache-out.tgz");
      const { digest } = await packFolder(from, file, { signal, maxBytes: maxCacheBytes });
      await upload(url, file, { ...transfer, attempts: 2, sha256: digest, code: "STAGING_INTERNAL", what: "the build cache" });
    } catch (error) {
      signal.throwIfAborted();
      warn(`the build cache could not be kept: ${toStagingError(error).message}`);
    }
  }
}
