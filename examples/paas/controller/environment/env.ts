/**
 * The rules of environment variables: which names are refused, and which source wins.
 * Groups of the operator come first, then the app's own, then what the platform itself sets.
 */

/** Why a variable's name is refused, or `undefined`. Texts follow the attribute's name: `Var cannot start with VCAP_`. */
export function environmentNameProblem(name: string): string | undefined {
  if (name === "") return "key must be a minimum length of 1";
  if (/^VCAP_/i.test(name)) return "cannot start with VCAP_";
  if (/^VMC/i.test(name)) return "cannot start with VMC_";
  if (/^PORT$/i.test(name)) return "cannot set PORT";
  return undefined;
}

/** What is wrong with a map of variables as a request brings it: names, and values that are neither text nor null. */
export function environmentProblems(variables: unknown, attribute = "Var"): string[] {
  if (typeof variables !== "object" || variables === null || Array.isArray(variables)) return [`${attribute} must be an object`];
  return Object.entries(variables).flatMap(([name, value]) => {
    const problem = environmentNameProblem(name);
    if (problem !== undefined) return [`${attribute} ${problem}`];
    if (value === null || typeof value === "string") return [];
    return [`Non-string value in environment variable for key '${name}', value '${JSON.stringify(value)}'`];
  });
}

/** Applies a patch: text sets, null removes. */
export function mergeEnvironment(current: Record<string, string>, patch: Record<string, string | null>): Record<string, string> {
  const merged = new Map(Object.entries(current));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  return Object.fromEntries(merged);
}

/** Variables of a running instance: the running group, then the app's own. What the platform sets is added by the executor. */
export function runningEnvironment(group: Record<string, string>, app: Record<string, string>): Record<string, string> {
  return { ...group, ...app };
}

export interface StagingEnvironmentParts {
  group: Record<string, string>;
  app: Record<string, string>;
  /** `environment_variables` of the build. */
  build?: Record<string, string>;
  stack: string;
  memoryMb: number;
}

/** Variables of a build; later wins: staging group, app, build, then `CF_STACK` and `MEMORY_LIMIT`. VCAP_* are sent beside them. */
export function stagingEnvironment({ group, app, build = {}, stack, memoryMb }: StagingEnvironmentParts): Record<string, string> {
  return { ...group, ...app, ...build, CF_STACK: stack, MEMORY_LIMIT: `${memoryMb}m` };
}
