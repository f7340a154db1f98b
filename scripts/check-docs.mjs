#!/usr/bin/env node
// The documents tell the truth:
//   docs/errors.md  is the tables of docs/errors/*.md joined (written by --write), and every code of every
//                   errors.ts in packages/ and examples/ has exactly one row, and every row a code
//   links           a relative link in a Markdown file names a file (and a heading) that exists
//   subpaths        every `@opencf/x/y` a Markdown file names is in the package's export list
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** @param {{ root: string, write?: boolean }} options @returns {Promise<string[]>} one line per violation */
export async function checkDocs({ root, write = false }) {
  const documents = (await filesIn(root, /\.md$/)).filter((file) => basename(file) !== "CHANGELOG.md");
  return [...await checkErrors(root, write), ...await checkLinks(root, documents), ...await checkSubpaths(root, documents)].sort();
}

/** @param {string} folder @param {RegExp} wanted @returns {Promise<string[]>} */
async function filesIn(folder, wanted) {
  const skipped = new Set(["node_modules", "dist", ".git", ".turbo", "coverage", ".opencf"]);
  const entries = await readdir(folder, { withFileTypes: true });
  const nested = await Promise.all(entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skipped.has(entry.name) || isMade(folder, entry.name, entries) ? [] : filesIn(path, wanted);
    return wanted.test(entry.name) ? [path] : [];
  }));
  return nested.flat().sort();
}

/** A running platform's data folder beside package.json, and the generated API reference: neither is ours to check. @param {string} folder @param {string} name @param {import("node:fs").Dirent[]} beside */
const isMade = (folder, name, beside) => (name === "data" && beside.some((entry) => entry.name === "package.json")) || (name === "api" && basename(folder) === "docs");

/** The codes of `export const codes = ["A", ...]`, or of an object of which it is the keys. @param {string} file */
async function codesIn(file) {
  const source = ts.createSourceFile(file, await readFile(file, "utf8"), ts.ScriptTarget.Latest, true);
  const variables = new Map(source.statements.filter(ts.isVariableStatement)
    .flatMap((statement) => statement.declarationList.declarations.map((declaration) => /** @type {const} */ ([declaration.name.getText(), declaration.initializer]))));
  /** @param {ts.Node | undefined} node @returns {string[]} */
  const collect = (node) => {
    if (!node) return [];
    if (ts.isAsExpression(node) || ts.isSatisfiesExpression(node) || ts.isParenthesizedExpression(node)) return collect(node.expression);
    if (ts.isArrayLiteralExpression(node)) return node.elements.flatMap((element) => ts.isStringLiteral(element) ? [element.text] : ts.isSpreadElement(element) ? collect(element.expression) : []);
    if (ts.isObjectLiteralExpression(node)) return node.properties.flatMap((property) => property.name ? [property.name.getText().replaceAll(/["']/g, "")] : []);
    if (ts.isIdentifier(node)) return collect(variables.get(node.text));
    if (ts.isCallExpression(node) && node.expression.getText() === "Object.keys") return collect(node.arguments[0]);
    return [];
  };
  return collect(variables.get("codes"));
}

/** @param {string} root @param {boolean} write */
async function checkErrors(root, write) {
  /** @type {string[]} */ const problems = [];
  const folder = join(root, "docs", "errors");
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".md")).sort();
  const parts = await Promise.all(names.map(async (name) => ({ name, text: await readFile(join(folder, name), "utf8") })));
  /** @type {Map<string, string>} */ const rows = new Map();
  for (const { name, text } of parts) {
    for (const [, code] of text.matchAll(/^\|\s*`([^`]+)`\s*\|/gm)) {
      if (code === undefined) continue;
      if (rows.has(code)) problems.push(`docs/errors/${name}: ${code} already has a row in docs/errors/${rows.get(code)}`);
      rows.set(code, name);
    }
  }
  const sources = [...await filesIn(join(root, "packages"), /^errors\.ts$/), ...await filesIn(join(root, "examples"), /^errors\.ts$/)];
  const known = new Set();
  for (const file of sources) {
    const codes = await codesIn(file);
    if (codes.length === 0 && /packages\/[^/]+\/src\/errors\.ts$/.test(file)) problems.push(`${relative(root, file)}: no list of codes to check`);
    for (const code of codes) {
      known.add(code);
      if (!rows.has(code)) problems.push(`${relative(root, file)}: ${code} has no row in docs/errors/`);
    }
  }
  for (const [code, name] of rows) if (!known.has(code)) problems.push(`docs/errors/${name}: ${code} is in no errors.ts`);

  const joined = joinErrors(parts);
  const target = join(root, "docs", "errors.md");
  if (write) await writeFile(target, joined);
  else if (await readFile(target, "utf8").catch(() => "") !== joined) problems.push("docs/errors.md is not what docs/errors/*.md make: run `node scripts/check-docs.mjs --write`");
  return problems;
}

/** @param {{ name: string, text: string }[]} parts */
function joinErrors(parts) {
  const head = [
    "# Error codes", "",
    "Every error a part throws is one class with a `code` from a closed list, a `retryable` flag and, where something lower failed, a `cause`.",
    "This page is joined from `docs/errors/*.md` by `node scripts/check-docs.mjs --write`; the check fails when a code has no row.", "",
  ];
  const bodies = parts.map(({ name, text }) => {
    const body = text.trim().replace(/^# .*\n+/, "");
    const title = /^# (.*)/.exec(text.trim())?.[1] ?? name.replace(/\.md$/, "");
    return `## ${title}\n\n${body.replaceAll(/^##/gm, "###")}\n`;
  });
  return `${head.join("\n")}\n${bodies.join("\n")}`;
}

/** @param {string} text */
const withoutCode = (text) => text.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, "").replaceAll(/`[^`\n]*`/g, "");

/** The anchor a heading gets on the usual forges. @param {string} heading */
const anchorOf = (heading) => heading.trim().toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");

/** @param {string} root @param {string[]} documents */
async function checkLinks(root, documents) {
  /** @type {string[]} */ const problems = [];
  for (const file of documents) {
    const text = withoutCode(await readFile(file, "utf8"));
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)) {
      if (link === undefined || /^[a-z]+:/.test(link)) continue;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? file : resolve(path.startsWith("/") ? root : dirname(file), path.replace(/^\//, ""));
      const found = await stat(target).catch(() => undefined);
      if (!found) problems.push(`${relative(root, file)}: the link "${link}" leads nowhere`);
      else if (anchor && found.isFile() && target.endsWith(".md")) {
        const headings = [...(await readFile(target, "utf8")).matchAll(/^#+\s+(.*)$/gm)].map(([, heading]) => anchorOf(heading ?? ""));
        if (!headings.includes(anchor)) problems.push(`${relative(root, file)}: "${link}" names a heading that is not there`);
      }
    }
  }
  return problems;
}

/** @param {string} root @param {string[]} documents */
async function checkSubpaths(root, documents) {
  /** @type {Map<string, Set<string>>} */ const exported = new Map();
  for (const name of await readdir(join(root, "packages"))) {
    const manifest = await readFile(join(root, "packages", name, "package.json"), "utf8").catch(() => undefined);
    if (manifest) exported.set(name, new Set(Object.keys(JSON.parse(manifest).exports).map((path) => path.replace(/^\.\/?/, ""))));
  }
  /** @type {string[]} */ const problems = [];
  for (const file of documents) {
    const named = new Set([...(await readFile(file, "utf8")).matchAll(/["'`]@opencf\/([a-z-]+)(?:\/([a-z][a-z/-]*[a-z]))?["'`]/g)].map(([, name, subpath]) => `${name} ${subpath ?? ""}`));
    for (const [name = "", subpath = ""] of [...named].map((pair) => pair.split(" "))) {
      if (!exported.has(name)) problems.push(`${relative(root, file)}: there is no package @opencf/${name}`);
      else if (!exported.get(name)?.has(subpath)) problems.push(`${relative(root, file)}: @opencf/${name}/${subpath} is not exported`);
    }
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
  const problems = await checkDocs({ root, write: process.argv.includes("--write") });
  for (const problem of problems) console.error(problem);
  console.log(problems.length === 0 ? "docs: links, subpaths and error codes are as they say" : `docs: ${problems.length} found`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
