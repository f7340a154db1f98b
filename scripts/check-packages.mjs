#!/usr/bin/env node
// What a user of the registry would get. Packs all packages and looks at each tarball:
//   publint, attw   exports resolve, types belong to their file, ESM only
//   files           dist, README.md, LICENSE (and buildpacks): nothing else, nothing missing
//   size            below the budget
//   export list     the names each entry exports are those of scripts/exports/NAME.txt;
//                   `--update` writes the lists anew, so that a change of face is seen in a review
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import ts from "typescript";
import { packAll } from "./lib/pack.mjs";

const run = promisify(execFile);
const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const KiB = 1024;

/** Largest tarball, source maps included. A package that outgrows its budget has probably swallowed a dependency. The bus brings its suite, its simulation and its program; the router two engines, the keys of another router's configuration and a page; the executor three ways to isolate, its suite and its program. */
const budgetBytes = { bus: 500 * KiB, router: 550 * KiB, dea: 500 * KiB, staging: 400 * KiB, "broker-api": 300 * KiB, "uaa-client": 150 * KiB };

const update = process.argv.includes("--update");
const into = await mkdtemp(join(tmpdir(), "opencf-pack-"));
try {
  const packed = await packAll({ root, into });
  const found = await Promise.all(packed.map(async (pack) => [...checkFiles(pack), ...checkSize(pack), ...await checkExports(pack), ...await lint(pack)].map((text) => `${pack.manifest.name}: ${text}`)));
  for (const pack of packed) found.push((await attw(pack)).map((text) => `${pack.manifest.name}: ${text}`));
  const problems = found.flat();
  for (const problem of problems) console.error(problem);
  for (const { manifest, packedBytes, files } of packed) console.log(`${manifest.name} ${(packedBytes / KiB).toFixed(0)} KiB, ${files.length} files`);
  console.log(problems.length === 0 ? "packages: fit to publish" : `packages: ${problems.length} found`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await rm(into, { recursive: true, force: true });
}

/** @param {import("./lib/pack.mjs").Packed} pack */
function checkFiles({ files, manifest }) {
  const paths = new Set(files.map(({ path }) => path));
  const problems = [...paths].filter((path) => !/^(dist|buildpacks)\/|^(README\.md|LICENSE|package\.json|CHANGELOG\.md)$/.test(path)).map((path) => `ships ${path}`);
  problems.push(...[...paths].filter((path) => /\.test\.|(^|\/)node_modules\//.test(path)).map((path) => `ships ${path}`));
  for (const path of ["README.md", "LICENSE"]) if (!paths.has(path)) problems.push(`has no ${path}`);
  const named = [...Object.values(manifest.exports).flatMap((target) => typeof target === "string" ? [target] : Object.values(target)), ...Object.values(manifest.bin ?? {})];
  for (const target of named) if (!paths.has(target.replace(/^\.\//, ""))) problems.push(`names ${target}, which it does not ship (built?)`);
  return problems;
}

/** @param {import("./lib/pack.mjs").Packed} pack */
function checkSize({ name, packedBytes }) {
  const budget = /** @type {Record<string, number>} */ (budgetBytes)[name];
  if (budget === undefined) return ["has no size budget"];
  return packedBytes > budget ? [`weighs ${packedBytes} bytes packed; its budget is ${budget}`] : [];
}

/** @param {import("./lib/pack.mjs").Packed} pack */
async function checkExports({ name, folder, manifest }) {
  const entries = Object.entries(manifest.exports).filter(([, target]) => typeof target === "object").map(([path, target]) => ({ path, file: join(folder, target.types) }));
  const program = ts.createProgram(entries.map(({ file }) => file), { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, skipLibCheck: true, noLib: true, types: [] });
  const checker = program.getTypeChecker();
  const lines = entries.flatMap(({ path, file }) => {
    const source = program.getSourceFile(file);
    const symbol = source && checker.getSymbolAtLocation(source);
    const names = symbol ? checker.getExportsOfModule(symbol).map(({ name: exported }) => exported).sort() : [];
    return [`${path === "." ? manifest.name : `${manifest.name}${path.slice(1)}`}`, ...names.map((exported) => `  ${exported}`)];
  });
  const list = join(root, "scripts", "exports", `${name}.txt`);
  const text = `${lines.join("\n")}\n`;
  if (update) {
    await mkdir(dirname(list), { recursive: true });
    await writeFile(list, text);
    return [];
  }
  const known = await readFile(list, "utf8").catch(() => "");
  if (known === text) return [];
  const [before, after] = [new Set(known.split("\n")), new Set(text.split("\n"))];
  const more = [...after].filter((line) => !before.has(line)).map((line) => `+${line.trim()}`);
  const less = [...before].filter((line) => !after.has(line)).map((line) => `-${line.trim()}`);
  return [`exports other names than scripts/exports/${name}.txt: ${[...more, ...less].join(" ") || "in another entry"} (meant? run with --update)`];
}

/** @param {import("./lib/pack.mjs").Packed} pack */
async function lint({ tarball, manifest }) {
  const bytes = await readFile(tarball);
  const { messages } = await publint({ pack: { tarball: /** @type {ArrayBuffer} */ (bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) }, strict: true });
  return messages.map((message) => `publint: ${formatMessage(message, manifest, { color: false })}`);
}

/** @param {import("./lib/pack.mjs").Packed} pack */
async function attw({ tarball }) {
  const program = join(root, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
  return run(process.execPath, [program, "--profile", "esm-only", "--no-definitely-typed", "--no-color", "--no-emoji", "--format", "ascii", tarball]).then(
    () => [],
    (failure) => [`attw: ${String(failure.stdout || failure.message).trim().replaceAll(/\n+/g, "\n    ")}`],
  );
}
