#!/usr/bin/env node
// Who may import whom. Reads the imports of packages/*/src and examples/* and reports what points the wrong way:
//   package edges   the table below
//   dependencies    a bare import its package.json does not declare, a declared one nobody imports
//   cycles          between files, types included
//   layers          inside a folder the children (files and sub-folders) form no cycle of value imports;
//                   nobody imports index.ts (it closes the package) or cli.ts (it starts it)
import { readdir, readFile, stat } from "node:fs/promises";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { cyclesOf } from "./lib/graph.mjs";
import { importsOf } from "./lib/imports.mjs";

/** What each package may import of ours, and in which of its files. Examples may import every package. */
export const allowedEdges = {
  bus: { may: [] },
  router: { may: ["bus"], only: /^src\/(bus|bus-link|cli)(\.ts$|\/)/ },
  dea: { may: ["bus"], only: /^src\/(bus|bus-link|cli)(\.ts$|\/)/ },
  staging: { may: ["bus"], only: /^src\/(bus|bus-link|cli)(\.ts$|\/)/ },
  "broker-api": { may: [] },
  "uaa-client": { may: [] },
};

const builtins = new Set(builtinModules);

/** @param {{ root: string }} options @returns {Promise<string[]>} one line per violation, empty when all is well */
export async function checkLayers({ root }) {
  const units = [...await unitsIn(root, "packages"), ...await unitsIn(root, "examples")];
  const problems = [];
  for (const unit of units) problems.push(...await checkUnit(unit, root));
  return problems.sort();
}

/** @param {string} root @param {"packages" | "examples"} kind */
async function unitsIn(root, kind) {
  const names = await readdir(join(root, kind)).catch(() => /** @type {string[]} */ ([]));
  const units = [];
  for (const name of names.sort()) {
    const folder = join(root, kind, name);
    const manifest = await readFile(join(folder, "package.json"), "utf8").catch(() => undefined);
    if (manifest === undefined) continue;
    const source = kind === "packages" ? join(folder, "src") : folder;
    units.push({ kind, name, folder, manifest: JSON.parse(manifest), files: await sourcesIn(source) });
  }
  return units;
}

/** @param {string} folder @returns {Promise<string[]>} */
async function sourcesIn(folder) {
  const skipped = new Set(["node_modules", "dist", "test", "fixtures", ".turbo"]);
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const nested = await Promise.all(entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.has(entry.name) ? [] : sourcesIn(path);
    return entry.name.endsWith(".ts") && !entry.name.endsWith(".config.ts") && !entry.name.endsWith(".d.ts") ? [path] : [];
  }));
  return nested.flat();
}

/** @param {Awaited<ReturnType<typeof unitsIn>>[number]} unit @param {string} root */
async function checkUnit({ kind, name, folder, manifest, files }, root) {
  /** @type {string[]} */ const problems = [];
  /** @type {Map<string, Set<string>>} */ const all = new Map();
  /** @type {Map<string, Set<string>>} */ const values = new Map();
  const declared = new Set([...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.peerDependencies ?? {}), ...Object.keys(manifest.optionalDependencies ?? {})]);
  const used = new Set();
  const here = (/** @type {string} */ file) => relative(root, file).split(sep).join("/");

  for (const file of files) {
    const targets = new Set();
    const valueTargets = new Set();
    for (const { specifier, typeOnly, line } of await importsOf(file)) {
      const complain = (/** @type {string} */ text) => problems.push(`${here(file)}:${line} ${text}`);
      if (specifier.startsWith(".")) {
        const target = resolve(dirname(file), specifier);
        if (relative(folder, target).startsWith("..")) {
          complain(`reaches into another package by path: "${specifier}"`);
          continue;
        }
        if (!await exists(target)) complain(`imports a file that does not exist: "${specifier}"`);
        if (kind === "packages") {
          const within = relative(join(folder, "src"), target).split(sep).join("/");
          if (within === "index.ts") complain("imports the package's own index.ts; import the room's file");
          if (within === "cli.ts") complain("imports cli.ts: a program is nobody's library");
          else if (within.startsWith("..")) complain(`reaches out of src: "${specifier}"`);
        }
        targets.add(target);
        if (!typeOnly) valueTargets.add(target);
      } else checkBare(specifier, typeOnly, file, complain);
    }
    all.set(file, targets);
    values.set(file, valueTargets);
  }

  /** @param {string} specifier @param {boolean} typeOnly @param {string} file @param {(text: string) => void} complain */
  function checkBare(specifier, typeOnly, file, complain) {
    if (specifier.startsWith("node:")) return;
    const dependency = specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
    if (builtins.has(dependency)) return complain(`write "node:${specifier}"`);
    used.add(dependency);
    if (dependency === "@opencf-examples" || dependency.startsWith("@opencf-examples/")) complain("imports an example: examples are leaves");
    if (dependency === manifest.name) complain(`imports its own package by name: "${specifier}"`);
    else if (!declared.has(dependency) && !(typeOnly && declared.has(`@types/${dependency}`))) complain(`imports "${dependency}", which its package.json does not declare`);
    if (kind !== "packages" || !dependency.startsWith("@opencf/")) return undefined;
    const target = dependency.slice("@opencf/".length);
    const edge = /** @type {Record<string, { may: string[], only?: RegExp }>} */ (allowedEdges)[name];
    if (!edge?.may.includes(target)) return complain(`package ${name} may not import ${target}`);
    const within = relative(folder, file).split(sep).join("/");
    if (edge.only && !edge.only.test(within)) complain(`package ${name} meets ${target} only in src/bus-link.ts (or src/bus/) and src/cli.ts`);
    return undefined;
  }

  if (files.length > 0 && kind === "packages") {
    for (const dependency of declared) if (!used.has(dependency)) problems.push(`${here(join(folder, "package.json"))} declares "${dependency}", which nothing in src imports`);
  }
  for (const group of cyclesOf(all)) {
    const members = new Set(group);
    const byValue = cyclesOf(new Map(group.map((file) => [file, [...(values.get(file) ?? [])].filter((next) => members.has(next))]))).length > 0;
    problems.push(`${byValue ? "cycle" : "cycle of types"}: ${group.map(here).sort().join(" <-> ")}`);
  }
  problems.push(...folderCycles(values, folder).map((group) => `layers: ${group.map(here).sort().join(" and ")} lean on each other`));
  return problems;
}

/** Lifts each value import to the two children of the folder where the paths part, and looks for cycles there.
 * Cycles between two files of one folder are reported as file cycles already.
 * @param {Map<string, Set<string>>} values @param {string} top */
function folderCycles(values, top) {
  /** @type {Map<string, Map<string, Set<string>>>} */ const byFolder = new Map();
  for (const [from, targets] of values) {
    for (const to of targets) {
      const [a, b] = [relative(top, from).split(sep), relative(top, to).split(sep)];
      let depth = 0;
      while (depth < a.length - 1 && depth < b.length - 1 && a[depth] === b[depth]) depth++;
      if (a[depth] === b[depth]) continue;
      const folder = a.slice(0, depth).join(sep);
      const graph = byFolder.get(folder) ?? new Map();
      byFolder.set(folder, graph);
      const edge = graph.get(a[depth]) ?? new Set();
      graph.set(a[depth], edge.add(b[depth]));
    }
  }
  return [...byFolder].flatMap(([folder, graph]) => cyclesOf(graph)
    .filter((group) => group.some((child) => !child.endsWith(".ts")))
    .map((group) => group.map((child) => join(top, folder, child))));
}

/** @param {string} path */
const exists = (path) => stat(path).then((found) => found.isFile(), () => false);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problems = await checkLayers({ root: resolve(dirname(fileURLToPath(import.meta.url)), "..") });
  for (const problem of problems) console.error(problem);
  console.log(problems.length === 0 ? "layers: nothing points the wrong way" : `layers: ${problems.length} found`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
