import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Buildpack, cacheName, hasScript } from "./buildpack/buildpack.ts";
import { depsIndex, readDepsConfig, suppliedEnvironment } from "./buildpack/deps.ts";
import { StagingError } from "./errors.ts";
import { type Launch, mergeLaunches, parseRelease, readLaunch, readProcfile } from "./outputs.ts";
import { makeFolder } from "./package/unpack.ts";
import { scriptFailure, type Task } from "./task.ts";

/** A buildpack that took part, with what it told about itself. */
export interface StagedBuildpack {
  readonly key: string;
  /** Catalog name, masked URL or path: how the app asked for it. */
  readonly label: string;
  /** From its `config.yml`. */
  readonly name?: string;
  readonly version?: string;
  /** What `bin/detect` printed. */
  readonly detectOutput?: string;
}

/** The result of detection: which buildpack takes the app, and what it said. */
export interface Detected {
  readonly buildpack: Buildpack;
  readonly output: string;
}

/**
 * Asks each candidate in order; the first whose `bin/detect` exits with 0 gets the app.
 * A candidate without `bin/detect`, or with one that cannot run, does not match.
 * @throws StagingError `STAGING_NOTHING_DETECTED`
 */
export async function detect(task: Task, candidates: AsyncIterable<Buildpack>): Promise<Detected> {
  const tried: string[] = [];
  for await (const buildpack of candidates) {
    tried.push(buildpack.label);
    if (!(await hasScript(buildpack, "detect"))) {
      task.say(`**WARNING** the buildpack ${buildpack.label} has no bin/detect and is skipped`, "err", buildpack.label);
      continue;
    }
    const { exit, stdout } = await task.script(buildpack, "detect", [task.paths.app], { capture: true });
    if (exit === 0) return { buildpack, output: stdout.replace(/[\r\n]+$/, "") };
  }
  throw new StagingError("STAGING_NOTHING_DETECTED", tried.length === 0
    ? "there is no buildpack to try; name one"
    : `none of the buildpacks ${tried.join(", ")} knows this kind of app; is this the right folder? Otherwise name a buildpack`, { phase: "detect" });
}

/** What the buildpacks made of the app. */
export interface Built {
  readonly buildpacks: readonly StagedBuildpack[];
  readonly launch: Launch;
  /** Replaces `bash -c` at launch. */
  readonly entrypointPrefix: string | undefined;
}

/**
 * Runs the buildpacks in order: all but the last supply, the last one supplies and finalizes, or compiles.
 * Then reads what is to be started: `launch.yml` of each, else the release of the last, then the `Procfile`.
 * @throws StagingError `STAGING_SUPPLY_*`, `STAGING_FINALIZE_FAILED`, `STAGING_COMPILE_FAILED`, `STAGING_RELEASE_*`, `STAGING_LAUNCH_INVALID`, `STAGING_PROCFILE_INVALID`
 */
export async function build(task: Task, buildpacks: readonly Buildpack[], detectOutput?: string): Promise<Built> {
  const { paths } = task;
  const indexes = buildpacks.map((_, index) => depsIndex(index, buildpacks.length));
  const last = buildpacks.at(-1);
  const lastIndex = indexes.at(-1);
  if (!last || lastIndex === undefined) throw new StagingError("STAGING_NOTHING_DETECTED", "there is no buildpack to run", { phase: "detect" });

  for (const buildpack of buildpacks.slice(0, -1))
    if (!(await hasScript(buildpack, "supply")))
      throw new StagingError("STAGING_SUPPLY_MISSING", `the buildpack ${buildpack.label} has no bin/supply, so it can only come last`, { phase: "supply", buildpack: buildpack.label });
  const compiles = !(await hasScript(last, "finalize")) && (await hasScript(last, "compile"));
  for (const index of compiles ? indexes.slice(0, -1) : indexes) await makeFolder(join(paths.deps, index), 0o755);
  for (const { key } of buildpacks) await mkdir(join(paths.cache, cacheName(key)), { recursive: true });
  await task.giveAway(paths.deps);
  await task.giveAway(paths.cache);

  for (const [index, buildpack] of buildpacks.slice(0, -1).entries()) {
    task.say(`-----> Supplying with ${title(buildpack)}`);
    const result = await task.script(buildpack, "supply", [paths.app, cacheOf(task, buildpack), paths.deps, indexes[index] as string], { env: await environmentFor(task, indexes.slice(0, index)) });
    if (result.exit !== 0) throw scriptFailure("STAGING_SUPPLY_FAILED", buildpack, "supply", result);
  }

  task.say(`-----> Building with ${title(last)}`);
  const cache = cacheOf(task, last);
  const env = await environmentFor(task, indexes.slice(0, -1));
  if (await hasScript(last, "finalize")) {
    if (await hasScript(last, "supply")) {
      const result = await task.script(last, "supply", [paths.app, cache, paths.deps, lastIndex], { env });
      if (result.exit !== 0) throw scriptFailure("STAGING_FINAL_SUPPLY_FAILED", last, "supply", result);
    }
    const result = await task.script(last, "finalize", [paths.app, cache, paths.deps, lastIndex, paths.profile], { env });
    if (result.exit !== 0) throw scriptFailure("STAGING_FINALIZE_FAILED", last, "finalize", result);
  } else if (compiles) {
    if (buildpacks.length > 1)
      task.say(`**WARNING** the last buildpack, ${last.label}, is of an old kind (bin/compile) and cannot see what the buildpacks before it supplied`, "err", last.label);
    const result = await task.script(last, "compile", [paths.app, cache]);
    if (result.exit !== 0) throw scriptFailure("STAGING_COMPILE_FAILED", last, "compile", result);
  } else throw new StagingError("STAGING_COMPILE_FAILED", `the buildpack ${last.label} has neither bin/finalize nor bin/compile`, { phase: "compile", buildpack: last.label });

  await task.quiesce();
  const launches = [];
  for (const [index, buildpack] of buildpacks.entries()) launches.push(await readLaunch(join(paths.deps, indexes[index] as string), buildpack.label));
  if (launches.at(-1) === undefined) launches.push(await release(task, last, env));
  await task.quiesce();
  launches.push(await readProcfile(paths.app));

  const configs = await Promise.all(indexes.map((index) => readDepsConfig(paths.deps, index)));
  return {
    buildpacks: buildpacks.map(({ key, label, version }, index) => {
      const config = configs[index];
      const output = index === buildpacks.length - 1 ? detectOutput : undefined;
      const name = config?.name ?? output;
      return {
        key,
        label,
        ...(name !== undefined && { name }),
        ...((config?.version ?? version) !== undefined && { version: config?.version ?? version }),
        ...(output !== undefined && { detectOutput: output }),
      } as StagedBuildpack;
    }),
    launch: mergeLaunches(launches),
    entrypointPrefix: configs.at(-1)?.entrypointPrefix,
  };
}

async function release(task: Task, buildpack: Buildpack, env: Readonly<Record<string, string>>): Promise<Launch> {
  if (!(await hasScript(buildpack, "release")))
    throw new StagingError("STAGING_RELEASE_FAILED", `the buildpack ${buildpack.label} has no bin/release and wrote no launch.yml`, { phase: "release", buildpack: buildpack.label });
  const result = await task.script(buildpack, "release", [task.paths.app], { env, capture: true });
  if (result.exit !== 0) throw scriptFailure("STAGING_RELEASE_FAILED", buildpack, "release", result);
  if (result.truncated) throw new StagingError("STAGING_RELEASE_INVALID", `bin/release of the buildpack ${buildpack.label} printed more than 1 MiB`, { phase: "release", buildpack: buildpack.label });
  return parseRelease(result.stdout, buildpack.label);
}

async function environmentFor(task: Task, indexes: readonly string[]): Promise<Record<string, string>> {
  await task.quiesce();
  return suppliedEnvironment(task.env, task.paths.deps, indexes);
}

const cacheOf = ({ paths }: Task, { key }: Buildpack): string => join(paths.cache, cacheName(key));

const title = ({ label, version }: Buildpack): string => (version === undefined ? label : `${label} ${version}`);
