import type { Body } from "@opencf/bus";
import type { stagingStart } from "@opencf/bus/messages";
import type { CatalogEntry } from "../buildpack/system.ts";
import type { StagingJob } from "../stage.ts";
import type { VcapServices } from "../environment.ts";

export type StagingRequest = Body<typeof stagingStart>;

export const mebibyte = 1024 * 1024;
/** The least a build gets, whatever it asks for (CC staging defaults). */
const leastMemoryMb = 1_024;
const leastDiskMb = 4_096;

/** Megabytes of memory to set aside for a build. */
export const memoryMbOf = ({ memory_limit, properties }: StagingRequest): number => Math.max(leastMemoryMb, memory_limit ?? properties.resources?.mem ?? 0);

/** A request in the words of `stage()`. */
export function jobOf(request: StagingRequest, files: { app: string; out: string; cache: string | undefined }, defaultStack: string): StagingJob {
  const { properties, stack, disk_limit } = request;
  const single = properties.buildpack ?? properties.buildpack_git_url ?? properties.buildpack_key;
  const command = properties.meta?.["command"];
  return {
    app: files.app,
    out: files.out,
    buildpacks: properties.buildpacks ?? (single ? [single] : []),
    stack: stack ?? defaultStack,
    env: variablesOf(properties.environment ?? []),
    services: (properties.vcap_services ?? groupServices(properties.services ?? [])) as VcapServices,
    application: properties.vcap_application ?? { application_id: request.app_id },
    memoryBytes: memoryMbOf(request) * mebibyte,
    diskBytes: Math.max(leastDiskMb, disk_limit ?? properties.resources?.disk ?? 0) * mebibyte,
    ...(files.cache !== undefined && { cache: files.cache }),
    ...(typeof command === "string" && command !== "" && { command }),
  };
}

/** `["A=1", "B=x=y"]`; a name alone is an empty variable. */
function variablesOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    return at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
  }));
}

/** The flat list of older controllers, by label as `VCAP_SERVICES` has it. */
function groupServices(services: readonly Record<string, unknown>[]): Record<string, Record<string, unknown>[]> {
  const result: Record<string, Record<string, unknown>[]> = {};
  for (const service of services) (result[String(service["label"] ?? "user-provided")] ??= []).push(service);
  return result;
}

/**
 * The buildpacks of a request. A list from the controller is the whole truth, in its order; one without a URL that has the name of
 * one of ours is ours. Without a list all of ours.
 */
export function catalogOf({ admin_buildpacks }: StagingRequest, system: readonly CatalogEntry[]): readonly CatalogEntry[] {
  if (!admin_buildpacks || admin_buildpacks.length === 0) return system;
  return admin_buildpacks.map(({ key, url, name = key }) => {
    const own = url === "" ? system.find((entry) => entry.name === name || entry.aliases?.includes(name)) : undefined;
    return own ? { ...own, name } : { name, key, ...(url !== "" && { url }) };
  });
}
