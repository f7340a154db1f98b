import { join } from "node:path";
import { parseDocument } from "yaml";
import { StagingError, type StagingErrorCode } from "./errors.ts";
import { readInside, Unreadable } from "./read-inside.ts";

/** A helper process that a buildpack wants beside processes of the app. */
export interface Sidecar {
  readonly name: string;
  readonly command: string;
  readonly processTypes: readonly string[];
  /** Megabytes, when the buildpack named a limit. */
  readonly memoryMb?: number;
}

/** What is to be started: type of process to command, and sidecars. */
export interface Launch {
  readonly processes: ReadonlyMap<string, string>;
  readonly sidecars: ReadonlyMap<string, Sidecar>;
}

type Fail = (why: string) => StagingError;

const failure = (code: StagingErrorCode, file: string, buildpack?: string): Fail => (why) =>
  new StagingError(code, `${file} ${why}`, { phase: "outputs", ...(buildpack !== undefined && { buildpack }) });

/** Everything is text: `web: 5` or `worker: true` are commands, not numbers. */
function parseYaml(text: string, fail: Fail): unknown {
  const document = parseDocument(text, { schema: "failsafe", uniqueKeys: true });
  const [error] = document.errors;
  if (error) throw fail(`is not valid YAML: ${error.message.split("\n")[0]}`);
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown;
  } catch (cause) {
    throw fail(`is not valid YAML: ${(cause as Error).message}`);
  }
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isEmpty = (value: unknown): boolean => value === null || value === undefined || value === "";

const readText = (root: string, path: string, fail: Fail): Promise<string | undefined> =>
  readInside(root, path).catch((error: unknown) => {
    throw error instanceof Unreadable ? fail(error.message) : error;
  });

/**
 * What `bin/release` printed. Only `default_process_types` counts; other keys are heritage and accepted.
 * @throws StagingError `STAGING_RELEASE_INVALID`
 */
export function parseRelease(text: string, buildpack: string): Launch {
  const fail = failure("STAGING_RELEASE_INVALID", "the output of bin/release", buildpack);
  const value = parseYaml(text, fail);
  if (isEmpty(value)) return { processes: new Map(), sidecars: new Map() };
  if (!isMap(value)) throw fail("must be a YAML map with the key default_process_types");
  const types = value["default_process_types"];
  if (isEmpty(types)) return { processes: new Map(), sidecars: new Map() };
  if (!isMap(types)) throw fail("has default_process_types that is no map from process type to command");
  return { processes: commandsOf(types, fail), sidecars: new Map() };
}

function commandsOf(types: Record<string, unknown>, fail: Fail): Map<string, string> {
  const result = new Map<string, string>();
  for (const [type, command] of Object.entries(types)) {
    if (typeof command !== "string" || command.trim() === "") throw fail(`names no command for the process type ${JSON.stringify(type)}; each line is "type: command"`);
    result.set(type, command);
  }
  return result;
}

/**
 * `launch.yml` of a buildpack: processes, and entries that are sidecars of processes.
 * @returns undefined when there is none
 * @throws StagingError `STAGING_LAUNCH_INVALID`
 */
export async function readLaunch(folder: string, buildpack: string): Promise<Launch | undefined> {
  const fail = failure("STAGING_LAUNCH_INVALID", "launch.yml", buildpack);
  const text = await readText(folder, join(folder, "launch.yml"), fail);
  if (text === undefined) return undefined;
  const value = parseYaml(text, fail);
  const list = isEmpty(value) ? [] : isMap(value) ? (isEmpty(value["processes"]) ? [] : value["processes"]) : undefined;
  if (!Array.isArray(list)) throw fail("must be a map whose key processes is a list");
  const processes = new Map<string, string>();
  const sidecars = new Map<string, Sidecar>();
  for (const entry of list as unknown[]) {
    if (!isMap(entry) || typeof entry["type"] !== "string" || entry["type"] === "" || typeof entry["command"] !== "string" || entry["command"] === "")
      throw fail("has a process without type or command");
    const { type: name, command } = entry as { type: string; command: string };
    const types = nested(entry, "platforms", "cloudfoundry", "sidecar_for");
    if (!isEmpty(types) && (!Array.isArray(types) || !types.every((type) => typeof type === "string"))) throw fail(`has a sidecar_for that is no list of process types, at ${JSON.stringify(name)}`);
    if (!Array.isArray(types) || types.length === 0) {
      processes.set(name, command);
      continue;
    }
    const memory = nested(entry, "limits", "memory");
    if (!isEmpty(memory) && !/^[1-9]\d{0,8}$/.test(String(memory))) throw fail(`has a memory limit that is no number of megabytes, at ${JSON.stringify(name)}`);
    sidecars.set(name, { name, command, processTypes: types as string[], ...(!isEmpty(memory) && { memoryMb: Number(memory) }) });
  }
  return { processes, sidecars };
}

const nested = (value: unknown, ...keys: readonly string[]): unknown => keys.reduce<unknown>((at, key) => (isMap(at) ? at[key] : undefined), value);

/**
 * The app's `Procfile`, read after compile because a buildpack may write it.
 * @returns undefined when there is none
 * @throws StagingError `STAGING_PROCFILE_INVALID`
 */
export async function readProcfile(app: string): Promise<Launch | undefined> {
  const fail = failure("STAGING_PROCFILE_INVALID", "Procfile");
  const text = await readText(app, join(app, "Procfile"), fail);
  if (text === undefined) return undefined;
  const value = parseYaml(text, fail);
  if (isEmpty(value)) return { processes: new Map(), sidecars: new Map() };
  if (!isMap(value)) throw fail('must have lines of the form "type: command"');
  return { processes: commandsOf(value, fail), sidecars: new Map() };
}

/** Later replaces earlier of the same name, across kinds: a Procfile line can turn a sidecar into a process. The order of first mention stays. */
export function mergeLaunches(launches: readonly (Launch | undefined)[]): Launch {
  const processes = new Map<string, string>();
  const sidecars = new Map<string, Sidecar>();
  for (const launch of launches) {
    for (const [type, command] of launch?.processes ?? []) {
      sidecars.delete(type);
      processes.set(type, command);
    }
    for (const [name, sidecar] of launch?.sidecars ?? []) {
      processes.delete(name);
      sidecars.set(name, sidecar);
    }
  }
  return { processes, sidecars };
}
