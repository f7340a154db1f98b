import { isPlain } from "../api/checks.ts";

/** What an app or a build wants to be staged with. */
export interface Lifecycle {
  type: "buildpack" | "docker" | "cnb";
  buildpacks: string[];
  stack: string | null;
}

/** Which keys a request named: absent ones keep what the app has. */
export interface LifecycleChange {
  type?: Lifecycle["type"];
  buildpacks?: string[];
  stack?: string | null;
}

const types = ["buildpack", "docker", "cnb"] as const;

/** Reads the `lifecycle` of a body: the change it asks for and what is wrong with it. */
export function readLifecycle(given: unknown): { change: LifecycleChange; problems: string[] } {
  const problems: string[] = [];
  if (!isPlain(given)) return { change: {}, problems: ["Lifecycle must be an object"] };
  const { type, data } = given;
  const change: LifecycleChange = {};
  if (type !== undefined) {
    if (types.includes(type as never)) change.type = type as Lifecycle["type"];
    else problems.push(`Lifecycle type is not included in the list: ${types.join(", ")}`);
  }
  if (!isPlain(data)) return { change, problems: [...problems, "Lifecycle data must be an object"] };
  const allowed = change.type === "docker" ? [] : ["buildpacks", "stack", "credentials"];
  const strange = Object.keys(data).filter((key) => !allowed.includes(key));
  if (strange.length > 0) problems.push(`Lifecycle Unknown field(s): ${strange.map((key) => `'${key}'`).join(", ")}`);
  const { stack, buildpacks } = data;
  if (stack === null) change.stack = null;
  else if (stack !== undefined) {
    if (typeof stack !== "string") problems.push("Lifecycle Stack must be a string");
    else if (stack.length < 1 || stack.length > 4096) problems.push("Lifecycle Stack must be between 1 and 4096 characters");
    else change.stack = stack;
  }
  if (buildpacks === null) change.buildpacks = [];
  else if (buildpacks !== undefined) {
    const texts = buildpackListProblems(buildpacks).map((text) => `Lifecycle Buildpacks ${text}`);
    problems.push(...texts);
    if (texts.length === 0) change.buildpacks = buildpacks as string[];
  }
  return { change, problems };
}

function buildpackListProblems(list: unknown): string[] {
  if (!Array.isArray(list)) return ["must be an array"];
  const texts: string[] = [];
  if (list.some((entry) => typeof entry !== "string")) texts.push("can only contain strings");
  if (list.some((entry) => typeof entry === "string" && (entry.trim() === "" || entry.length > 4096))) texts.push("entries must be between 1 and 4096 characters");
  return texts;
}

/** True for a buildpack given by address instead of by name. */
export const isBuildpackUrl = (buildpack: string): boolean => /^(https?|git|ssh):\/\/[^\s]+$/i.test(buildpack) || /^git@[^\s:]+:[^\s]+$/.test(buildpack);

/** The text for buildpacks that are neither addresses nor names of the platform, or `undefined`. */
export function unknownBuildpacks(buildpacks: readonly string[], names: ReadonlySet<string>): string | undefined {
  const unknown = buildpacks.filter((buildpack) => !isBuildpackUrl(buildpack) && !names.has(buildpack));
  if (unknown.length === 0) return undefined;
  return unknown.map((buildpack) => `Buildpack "${buildpack}" must be an existing admin buildpack or a valid git URI`).join(", ");
}

/** An address without its password: what the API and logs may show. */
export function maskUrl(buildpack: string): string {
  return buildpack.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/i, "$1***:***@");
}
