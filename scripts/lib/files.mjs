import { readdirSync } from "node:fs";
import { join, relative } from "node:path";

const skipped = new Set(["node_modules", "dist", ".turbo", "test", "bench"]);

/** Every file below these folders that a build depends on, sorted, relative to `root`. */
export function buildInputs(root, folders) {
  const found = [];
  const walk = (dir) => {
    for (const entry of readdirSync(dir, { withFileTypes: true }))
      if (entry.isDirectory()) {
        if (!skipped.has(entry.name)) walk(join(dir, entry.name));
      } else if (/\.(ts|mjs|json|sh|txt|html|sql)$/.test(entry.name) || entry.name.startsWith("tsup")) found.push(relative(root, join(dir, entry.name)));
  };
  for (const folder of folders) walk(join(root, folder));
  return found.sort();
}
