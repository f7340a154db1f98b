import type { AppParts } from "../apps/app-parts.ts";
import { matchable, octal } from "./bits/resources.ts";
import { isPlain } from "../api/checks.ts";
import { unprocessable } from "../api/errors.ts";
import type { FeatureFlags } from "../api/flags.ts";
import { created, type Api } from "../api/http.ts";

const maxItems = 5_000;
const bodyLimitBytes = 16 * 1024 ** 2;

/** `/v3/resource_matches`: which files of an app the platform has already, all of them asked of the pool in one question. */
export function resourceMatchRoutes(api: Api, { blobs, log }: AppParts, flags: FeatureFlags): void {
  api.post("/v3/resource_matches", { bodyLimitBytes }, async (call) => {
    const { resources } = (isPlain(call.body) ? call.body : {}) as { resources?: unknown };
    const problems = resourceProblems(resources);
    if (problems.length > 0) throw unprocessable(problems.join(", "));
    if (!(await flags.enabled("resource_matching"))) return created({ resources: [] });
    const items = (resources as { checksum: { value: string }; size_in_bytes: number; path?: unknown; mode?: string | null }[])
      .map((item) => ({ item, sha1: item.checksum.value.toLowerCase(), sizeBytes: item.size_in_bytes, mode: octal(item.mode) }));
    const asked = matchable(items.filter(({ sha1 }) => /^[0-9a-f]{40}$/.test(sha1)));
    if (asked.size === 0) return created({ resources: [] });
    // Without the pool everything is uploaded, which is slower and just as right.
    const held = await blobs.poolHas([...asked]).catch((error: unknown) => {
      log.warn("pool.unavailable", { error: String(error) });
      return [];
    });
    const sizes = new Map(held.map(({ sha1, sizeBytes }) => [sha1, sizeBytes]));
    for (const { sha1, sizeBytes } of items) if (sizes.has(sha1) && sizes.get(sha1) !== sizeBytes) sizes.delete(sha1);
    const found = items.filter(({ sha1 }) => sizes.has(sha1));
    return created({
      resources: found.map(({ item }) => ({ checksum: { value: item.checksum.value }, size_in_bytes: item.size_in_bytes, path: item.path ?? "", mode: item.mode })),
    });
  });
}

function resourceProblems(resources: unknown): string[] {
  if (!Array.isArray(resources)) return ["Resources must be an array"];
  if (resources.length > maxItems) return [`Resources array can have at most ${maxItems} resources`];
  if (resources.length < 1) return ["Resources must have at least 1 resource"];
  const texts = new Set<string>();
  for (const resource of resources as unknown[]) {
    const { checksum, size_in_bytes: size, mode } = isPlain(resource) ? resource : {};
    if (!isPlain(checksum)) texts.add("a non-object checksum");
    else if (typeof checksum["value"] !== "string") texts.add("a non-string checksum value");
    else if (checksum["value"].length !== 40) texts.add("a non-SHA1 checksum value");
    if (!Number.isInteger(size)) texts.add("a non-integer size_in_bytes");
    else if ((size as number) < 0) texts.add("a negative size_in_bytes");
    if (mode === undefined || mode === null) continue;
    if (typeof mode !== "string") texts.add("a non-string mode");
    else if (!/^[0-7]+$/.test(mode)) texts.add("an incorrect mode");
  }
  return [...texts].map((text) => `Resources array contains at least one resource with ${text}`);
}
