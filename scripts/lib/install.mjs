import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Whether node_modules holds what package-lock.json asks for. npm keeps its own account in node_modules.
 * @param {string} root */
export async function isInstalled(root) {
  const read = (/** @type {string} */ path) => readFile(join(root, path), "utf8").then(JSON.parse, () => undefined);
  const [wanted, present] = await Promise.all([read("package-lock.json"), read("node_modules/.package-lock.json")]);
  if (!wanted || !present) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (!path.startsWith("node_modules/") && !path.includes("/node_modules/")) return true;
    const found = present.packages[path];
    if (!found) return entry.optional === true || entry.peer === true || entry.devOptional === true;
    return found.version === entry.version;
  });
}
