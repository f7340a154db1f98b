import { parse } from "yaml";
import { StagingError, toStagingError } from "../errors.ts";
import { resolveLimits } from "../package/limits.ts";
import { openZip, type OpenZip, type ZipEntry } from "../package/zip.ts";
import { buildpackLimits } from "./fetch.ts";

/** What the zip of a buildpack says about itself. */
export interface BuildpackSummary {
  /** Programs in its `bin` folder. */
  readonly scripts: readonly string[];
  /** First line of `VERSION`. */
  readonly version: string | undefined;
  /** `stack` of `manifest.yml`. */
  readonly stack: string | undefined;
  /** What works but is probably not meant, in words for its author. */
  readonly warnings: readonly string[];
}

export interface InspectBuildpackOptions {
  /** Refuse a buildpack whose manifest names a stack that is not one of these. Default: any stack. */
  stacks?: readonly string[];
  signal?: AbortSignal;
}

const maxTextBytes = 1024 * 1024;
const refuse = (text: string, cause?: unknown): StagingError => new StagingError("STAGING_BUILDPACK_INVALID", text, { phase: "buildpack", cause });

/**
 * Judges the zip of a buildpack without running or writing anything: for the moment of upload.
 * @throws StagingError `STAGING_BUILDPACK_INVALID`, `STAGING_STACK_UNSUPPORTED`, `STAGING_PACKAGE_NOT_FOUND`
 */
export async function inspectBuildpack(path: string, { stacks, signal }: InspectBuildpackOptions = {}): Promise<BuildpackSummary> {
  await using zip = await openZip(path, resolveLimits(buildpackLimits), signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    const { code, message } = toStagingError(error);
    if (!code.startsWith("STAGING_PACKAGE_") || code === "STAGING_PACKAGE_NOT_FOUND") throw error;
    throw refuse(`this zip cannot be a buildpack: ${message}`, error);
  });
  const names = [...zip.tree.entries.keys(), ...zip.tree.implied()];
  const tops = [...new Set(names.map((name) => name.split("/")[0] ?? ""))];
  const prefix = names.includes("bin") ? "" : tops.length === 1 && names.includes(`${tops[0]}/bin`) ? `${tops[0]}/` : undefined;
  if (prefix === undefined) throw refuse("this zip has no bin folder at its top, nor in a single folder at its top");
  const scripts = [...zip.tree.entries.values()].filter(({ name, kind }) => kind !== "directory" && name.startsWith(`${prefix}bin/`) && !name.slice(prefix.length + 4).includes("/"));
  const has = (name: string): boolean => scripts.some((entry) => entry.name === `${prefix}bin/${name}`);

  const version = (await readText(zip, `${prefix}VERSION`))?.trim().split("\n")[0] || undefined;
  const stack = stackOf(await readText(zip, `${prefix}manifest.yml`));
  if (stack !== undefined && stacks && !stacks.includes(stack))
    throw new StagingError("STAGING_STACK_UNSUPPORTED", `the manifest of this buildpack names the stack ${stack}, and known are ${stacks.join(", ")}`, { phase: "buildpack" });

  const lost = scripts.filter(({ kind, mode }) => kind === "file" && (mode & 0o111) === 0).map(({ name }) => name.slice(prefix.length));
  return {
    scripts: scripts.map(({ name }) => name.slice(prefix.length + 4)).sort(),
    version,
    stack,
    warnings: [
      ...(has("detect") ? [] : ["it has no bin/detect, so it is used only where an app asks for it by name"]),
      ...(has("finalize") || has("compile") || has("supply") ? [] : ["it has neither bin/supply, bin/finalize nor bin/compile, so every build with it fails"]),
      ...((has("finalize") || has("compile")) && !has("release") ? ["it has no bin/release, so it must write launch.yml"] : []),
      ...(has("supply") ? [] : ["it has no bin/supply, so it can only be the last of several"]),
      ...(lost.length === 0 ? [] : [`${lost.join(", ")} lost the x bits in the zip; they are set again when it is unpacked`]),
      ...(version === undefined ? ["it has no VERSION file"] : []),
    ],
  };
}

async function readText(zip: OpenZip, name: string): Promise<string | undefined> {
  const entry: ZipEntry | undefined = zip.tree.entries.get(name);
  if (entry?.kind !== "file") return undefined;
  if (entry.sizeBytes > maxTextBytes) throw refuse(`${name} is larger than 1 MiB`);
  const chunks: Buffer[] = [];
  await zip.read(entry, (chunk) => void chunks.push(chunk)).catch((error: unknown) => {
    throw refuse(`this zip cannot be a buildpack: ${toStagingError(error).message}`, error);
  });
  return Buffer.concat(chunks).toString();
}

function stackOf(manifest: string | undefined): string | undefined {
  if (manifest === undefined) return undefined;
  let value: unknown;
  try {
    value = parse(manifest);
  } catch (error) {
    throw refuse(`manifest.yml is not valid YAML: ${(error as Error).message.split("\n")[0]}`, error);
  }
  const stack = (value as { stack?: unknown } | null | undefined)?.stack;
  return typeof stack === "string" && stack !== "" ? stack : undefined;
}
