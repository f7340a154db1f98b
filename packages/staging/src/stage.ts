import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { build, detect, type StagedBuildpack } from "./build.ts";
import { type Buildpack, cacheName } from "./buildpack/buildpack.ts";
import { resolveBuildpack, type ResolveOptions, usableEntries } from "./buildpack/resolve.ts";
import { type CatalogEntry, systemBuildpacks } from "./buildpack/system.ts";
import { restoreCache, saveCache } from "./cache.ts";
import { createDeadline } from "./deadline.ts";
import { packFolder } from "./droplet/pack.ts";
import { stagingEnvironment, type VcapServices } from "./environment.ts";
import { StagingError, toStagingError } from "./errors.ts";
import type { StagingLine } from "./lines.ts";
import type { Sidecar } from "./outputs.ts";
import { copyFolder } from "./package/copy.ts";
import type { PackageLimits } from "./package/limits.ts";
import { unpackZip } from "./package/unpack.ts";
import type { Clock, Fetch, Logger } from "./ports.ts";
import { removeTree } from "./remove-tree.ts";
import { createWorkFolder } from "./script/work-folder.ts";
import { createTask, type Task } from "./task.ts";

/** What is to be staged. */
export interface StagingJob extends PackageLimits {
  /** A folder or a zip. */
  app: string;
  /** Where the droplet goes. Written beside it first and renamed, so it is whole or absent. */
  out: string;
  /** Names from the catalog, URLs (`#ref` for a branch, tag or commit), folders or zips, in order. Empty or absent: detect. */
  buildpacks?: readonly string[];
  /** `CF_STACK`. Default `cflinuxfs4`. */
  stack?: string;
  /** The app's own variables. */
  env?: Readonly<Record<string, string>>;
  /** `VCAP_SERVICES`. */
  services?: VcapServices;
  /** `VCAP_APPLICATION`. */
  application?: Readonly<Record<string, unknown>>;
  /** `MEMORY_LIMIT`. Default 1 GiB. */
  memoryBytes?: number;
  /** Limit for the files of the droplet. Default 4 GiB. */
  diskBytes?: number;
  /** Folder of the build cache, read before and replaced after a successful build. Default: no cache. */
  cache?: string;
  /** The app's own start command: a build without any start command is then accepted. */
  command?: string;
  /** Names of sidecars which the app has of its own; a buildpack must not bring one of the same name. */
  userSidecars?: readonly string[];
  /** Fail when nothing could be started. Default true. */
  requireStartCommand?: boolean;
}

/** How to stage, and who wants to know. */
export interface StageOptions {
  /** Every line of output, in order. */
  onLine?: (line: StagingLine) => void;
  signal?: AbortSignal;
  /** Limit for everything. Default 900 000 ms. */
  timeoutMs?: number;
  /** Folder for temporary work; `recoverStaging` clears it after a crash. Default: one per user in the system's temporary folder. */
  workDir?: string;
  /** Buildpacks that can be asked for by name, in the order of detection. Default: `systemBuildpacks()`. */
  catalog?: readonly CatalogEntry[];
  /** Folder that keeps fetched catalog buildpacks between builds. Default: none. */
  buildpacksDir?: string;
  /** Accept buildpacks that reach into this machine: folders, zips, `file:` and `ssh:` URLs. Default true. */
  allowLocalBuildpacks?: boolean;
  /** User for the scripts; needs root. Default: the user of this process. */
  runAs?: { readonly uid: number; readonly gid: number };
  /** End the build when its processes hold more than `memoryBytes`. Default false. */
  enforceMemory?: boolean;
  /** Search path of the scripts. Default: the usual system folders and that of this Node. */
  searchPath?: string;
  fetch?: Fetch;
  clock?: Clock;
  log?: Logger;
}

/** A staged app: one archive, and how to start what is in it. */
export interface Droplet {
  readonly path: string;
  /** sha256 of the archive, hexadecimal: the same for the same input. */
  readonly digest: string;
  readonly sha1: string;
  readonly sizeBytes: number;
  /** Process type to command, `web` among them as a rule. */
  readonly processTypes: Readonly<Record<string, string>>;
  readonly sidecars: readonly Sidecar[];
  readonly buildpacks: readonly StagedBuildpack[];
  /** Name of the last buildpack, or what its `bin/detect` said; empty when it told neither. */
  readonly detectedBuildpack: string;
  readonly stack: string;
}

export const defaultStack = "cflinuxfs4";
export const defaultWorkDir = (): string => join(tmpdir(), `opencf-staging-${userInfo().uid}`);
const gibibyte = 1024 ** 3;

/**
 * Turns the package of an app into a droplet: unpack, detect, supply, finalize or compile, release, pack.
 * Whatever happens, no process and no temporary file is left.
 * @throws StagingError with one of the closed list of codes; `failure` holds phase, buildpack, exit and last lines of a script
 */
export async function stage(
  {
    app, out, buildpacks: asked = [], stack = defaultStack, env = {}, services = {}, application = {}, memoryBytes = gibibyte, diskBytes = 4 * gibibyte,
    cache, command, userSidecars = [], requireStartCommand = true, ...limits
  }: StagingJob,
  {
    onLine, signal: outer, timeoutMs = 900_000, workDir = defaultWorkDir(), catalog = systemBuildpacks(), buildpacksDir, allowLocalBuildpacks = true,
    runAs, enforceMemory = false, searchPath, fetch, clock, log,
  }: StageOptions = {},
): Promise<Droplet> {
  using deadline = createDeadline(timeoutMs, outer, clock);
  const { signal } = deadline;
  try {
    deadline.check();
    const kind = await kindOf(app);
    await using work = await createWorkFolder(workDir, log);
    const user = join(work.path, "user");
    const temporary = join(work.path, "tmp");
    const task = createTask({
      work, signal, onLine, runAs, ...(log && { log }),
      env: stagingEnvironment({ env, stack, memoryBytes, application, services, home: user, temporary, ...(searchPath !== undefined && { searchPath }) }),
      memoryLimitBytes: enforceMemory ? memoryBytes : undefined,
    });
    const { paths } = task;
    for (const path of [paths.home, paths.user, paths.temporary, paths.buildpacks]) await mkdir(path);
    // Made by the umask of whoever runs us otherwise, and so different in each droplet.
    for (const name of ["app", "deps", "profile.d", "logs", "tmp"]) {
      await mkdir(join(paths.home, name));
      await chmod(join(paths.home, name), 0o755);
    }

    const summary = kind === "folder" ? await copyFolder(app, paths.app, { signal, except: out, ...limits }) : await unpackZip(app, paths.app, { signal, ...limits });
    if (summary.files === 0) throw new StagingError("STAGING_PACKAGE_EMPTY", `the package ${app} holds no files; is this the right folder?`, { phase: "package" });

    const resolve: ResolveOptions = {
      catalog, folder: paths.buildpacks, sharedDir: buildpacksDir, allowLocal: allowLocalBuildpacks, stack, env: task.env, signal, fetch,
      onLine: (text, stream) => task.say(text, stream), onStart: (pid) => task.noteScript(pid),
    };
    const given: Buildpack[] = [];
    for (const name of asked) given.push(await resolveBuildpack(name, resolve));
    for (const path of [paths.home, paths.user, paths.temporary]) await task.giveAway(path);
    const found = given.length === 0 ? await detect(task, candidates(resolve)) : undefined;
    const buildpacks = found ? [found.buildpack] : given;
    await task.quiesce();

    const warn = (text: string): void => task.say(`**WARNING** ${text}`, "err");
    if (cache !== undefined) await restoreCache(cache, paths.cache, buildpacks.map(({ key }) => cacheName(key)), warn);
    else await mkdir(paths.cache, { recursive: true });

    const built = await build(task, buildpacks, found?.output);
    // Nobody may change files while they are packed, nor live on afterwards.
    await work.killAll();
    const { processes, sidecars } = built.launch;
    const clash = [...sidecars.keys()].find((name) => userSidecars.includes(name));
    if (clash !== undefined)
      throw new StagingError("STAGING_SIDECAR_CLASH", `a buildpack brings a sidecar named ${JSON.stringify(clash)}, and the app has one of that name; rename the app's`, { phase: "outputs" });
    if (!processes.has("web") && command === undefined) warnWithoutWeb(task, requireStartCommand && processes.size === 0);

    const detectedBuildpack = built.buildpacks.at(-1)?.name ?? "";
    await writeStagingInfo(join(paths.home, "staging_info.yml"), {
      detected_buildpack: detectedBuildpack,
      start_command: processes.get("web") ?? "",
      effective_procfile: Object.fromEntries(processes),
      ...(built.entrypointPrefix !== undefined && { config: { entrypoint_prefix: built.entrypointPrefix } }),
    });
    const { path, digest, sha1, sizeBytes } = await packFolder(paths.home, out, { signal, maxBytes: diskBytes, workPath: work.path, onWarning: warn });
    task.say(`-----> Droplet of ${humanBytes(sizeBytes)}, sha256 ${digest}`);
    if (cache !== undefined) await saveCache(paths.cache, cache, warn);
    return { path, digest, sha1, sizeBytes, processTypes: Object.fromEntries(processes), sidecars: [...sidecars.values()], buildpacks: built.buildpacks, detectedBuildpack, stack };
  } catch (error) {
    if (signal.aborted && !(error instanceof StagingError && error.code.startsWith("STAGING_PACKAGE_"))) throw signal.reason;
    throw toStagingError(error);
  }
}

async function kindOf(app: string): Promise<"folder" | "zip"> {
  const status = await stat(app).catch(() => undefined);
  if (!status) throw new StagingError("STAGING_PACKAGE_NOT_FOUND", `there is no package at ${app}`, { phase: "package" });
  return status.isDirectory() ? "folder" : "zip";
}

/** Fetched one by one: when the first matches, the others are never needed. */
async function* candidates(options: ResolveOptions): AsyncGenerator<Buildpack> {
  for (const entry of usableEntries(options.catalog, options.stack)) {
    const buildpack = await resolveBuildpack(entry.name, options).catch((error: unknown) => {
      if (error instanceof StagingError && error.code === "STAGING_STACK_UNSUPPORTED") return undefined;
      throw error;
    });
    if (buildpack) yield buildpack;
  }
}

function warnWithoutWeb(task: Task, fatal: boolean): void {
  const advice = 'add a Procfile with a line "web: command", a start script, or give a start command (cf push -c)';
  if (fatal) throw new StagingError("STAGING_NO_START_COMMAND", `nothing says how to start this app: ${advice}`, { phase: "outputs" });
  task.say("**WARNING** there is no start command for web", "err");
  task.say(`**WARNING** ${advice}`, "err");
}

/** JSON in a file named `.yml`, as the Diego builder writes it: every YAML parser reads it. */
const writeStagingInfo = async (path: string, info: object): Promise<void> => {
  // Something of that name may be there already, a link perhaps.
  await removeTree(path);
  await writeFile(path, `${JSON.stringify(info)}\n`, { flag: "wx" });
  await chmod(path, 0o644);
};

const humanBytes = (bytes: number): string => (bytes < 1_048_576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`);
