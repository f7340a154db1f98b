import { lchown, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Buildpack, isRunnable, type ScriptName, scriptPath } from "./buildpack/buildpack.ts";
import { StagingError, type StagingErrorCode } from "./errors.ts";
import type { StagingLine } from "./lines.ts";
import { type Logger, silentLogger } from "./ports.ts";
import { markerName, residentBytes } from "./script/proc.ts";
import { run, type RunResult } from "./script/run.ts";
import type { WorkFolder } from "./script/work-folder.ts";

/** Folders of a task. `home` becomes the droplet; `app` and `deps` lie in it as they will when the app runs. */
export interface TaskPaths {
  readonly home: string;
  readonly app: string;
  readonly deps: string;
  readonly profile: string;
  readonly cache: string;
  readonly temporary: string;
  readonly user: string;
  readonly buildpacks: string;
}

export const taskPaths = (root: string): TaskPaths => ({
  home: join(root, "home"),
  app: join(root, "home", "app"),
  deps: join(root, "home", "deps"),
  profile: join(root, "home", "profile.d"),
  cache: join(root, "cache"),
  temporary: join(root, "tmp"),
  user: join(root, "user"),
  buildpacks: join(root, "buildpacks"),
});

export interface TaskOptions {
  work: WorkFolder;
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  onLine?: ((line: StagingLine) => void) | undefined;
  log?: Logger;
  runAs?: { readonly uid: number; readonly gid: number } | undefined;
  /** End the task when its processes hold more than this. Default: not watched. */
  memoryLimitBytes?: number | undefined;
  /** Output beyond this many characters is dropped, with a word about it. Default 32 Mi. */
  maxLogLength?: number | undefined;
}

/** What the steps of one staging share: where things lie, how to speak, how to run a buildpack's program. */
export interface Task {
  readonly paths: TaskPaths;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  say(text: string, stream?: "out" | "err", buildpack?: string): void;
  noteScript(pid: number): void;
  /** With `runAs` the scripts' user must own what he works on; a link itself is given away, not what it points to. Call it while none of his processes run. */
  giveAway(path: string): Promise<void>;
  /** With `runAs`: ends what scripts left running, before this process, which may do more than they, touches their files. */
  quiesce(): Promise<void>;
  /** Runs a program of a buildpack; a non-zero exit is a result here, not an error. */
  script(buildpack: Buildpack, name: ScriptName, args: readonly string[], options?: { env?: Readonly<Record<string, string>>; capture?: boolean }): Promise<RunResult>;
}

export function createTask({ work, env: given, signal, onLine = () => {}, log = silentLogger, runAs, memoryLimitBytes, maxLogLength = 32 * 1024 * 1024 }: TaskOptions): Task {
  const env = { ...given, [markerName]: work.id };
  let spoken = 0;
  const say: Task["say"] = (text, stream = "out", buildpack) => {
    if (spoken > maxLogLength) return;
    spoken += text.length + 1;
    const line: StagingLine = spoken > maxLogLength
      ? { text: "**WARNING** too much output, the rest is not shown", stream: "err" }
      : { text, stream, ...(buildpack !== undefined && { buildpack }) };
    try {
      onLine(line);
    } catch (error) {
      log.error("staging.line_handler_failed", { reason: String(error) });
    }
  };
  return {
    paths: taskPaths(work.path),
    env,
    signal,
    say,
    noteScript: (pid) => work.noteScript(pid),
    async giveAway(path) {
      if (!runAs) return;
      await lchown(path, runAs.uid, runAs.gid);
      for (const item of await readdir(path, { withFileTypes: true, recursive: true })) await lchown(join(item.parentPath, item.name), runAs.uid, runAs.gid);
    },
    async quiesce() {
      if (runAs) await work.killAll();
    },
    async script(buildpack, name, args, { env: more = env, capture = false } = {}) {
      if (!(await isRunnable(buildpack, name)))
        say(`**WARNING** bin/${name} of ${buildpack.label} is not executable; set its x bits (chmod +x bin/*)`, "err", buildpack.label);
      using watch = watchMemory(work.id, memoryLimitBytes, signal);
      return await run(scriptPath(buildpack, name), {
        args,
        env: { ...more, [markerName]: work.id },
        cwd: work.path,
        signal: watch.signal,
        capture,
        onLine: (text, stream) => say(text, stream, buildpack.label),
        onStart: (pid) => work.noteScript(pid),
        ...(runAs && { runAs }),
      });
    },
  };
}

/** The failure of a script, with its exit and its last words. */
export function scriptFailure(code: StagingErrorCode, buildpack: Buildpack, name: ScriptName, { exit, tail }: RunResult): StagingError {
  const how = exit === 126 ? "is not executable" : exit === 127 ? "could not be started (is its interpreter installed?)" : typeof exit === "string" ? `was ended by ${exit}` : `ended with status ${exit}`;
  const last = tail.findLast((line) => line.trim() !== "");
  return new StagingError(code, `bin/${name} of the buildpack ${buildpack.label} ${how}${last === undefined ? "" : `; it last said: ${last.trim()}`}`, {
    phase: name, buildpack: buildpack.label, exit, tail,
  });
}

/** No limit on memory exists for plain processes, so their use is looked at once a second. */
function watchMemory(id: string, limitBytes: number | undefined, outer: AbortSignal): Disposable & { signal: AbortSignal } {
  if (limitBytes === undefined) return { signal: outer, [Symbol.dispose]() {} };
  const controller = new AbortController();
  const follow = (): void => controller.abort(outer.reason);
  if (outer.aborted) follow();
  else outer.addEventListener("abort", follow, { once: true });
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void residentBytes(id)
      .then((bytes) => {
        if (bytes > limitBytes)
          controller.abort(new StagingError("STAGING_MEMORY_EXCEEDED", `staging used ${Math.round(bytes / 1024 ** 2)} MB of memory, and ${Math.round(limitBytes / 1024 ** 2)} MB are allowed; raise the memory limit of staging`));
      })
      .finally(() => (looking = false));
  }, 1_000);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearInterval(timer);
      outer.removeEventListener("abort", follow);
    },
  };
}
