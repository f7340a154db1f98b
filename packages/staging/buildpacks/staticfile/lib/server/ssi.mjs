// Server-side includes: `include` of a file or a virtual path, and `echo` of a few variables. Other directives print nothing.
import { readFile } from "node:fs/promises";
import { posix } from "node:path";

const maxDepth = 8;
const escape = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** `find(path)` gives the file of a path of the site, or undefined. */
export async function expand(text, path, find, depth = 0) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(/<!--#(\w+)\s*([^>]*?)\s*-->/g)) {
    parts.push(text.slice(from, found.index), await run(found[1], Object.fromEntries([...found[2].matchAll(/(\w+)\s*=\s*"([^"]*)"/g)].map((each) => [each[1], each[2]])), path, find, depth));
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts.join("");
}

async function run(name, values, path, find, depth) {
  if (name === "echo") {
    const known = { DOCUMENT_URI: path, DATE_LOCAL: new Date().toString(), DATE_GMT: new Date().toUTCString() };
    return escape(known[values.var] ?? values.default ?? "(none)");
  }
  if (name !== "include") return "";
  const wanted = values.virtual ?? values.file;
  if (wanted === undefined || depth >= maxDepth) return "[an error occurred while processing the directive]";
  const target = posix.resolve(posix.dirname(path), wanted.replace(/\?.*$/s, ""));
  const file = await find(target);
  if (file === undefined) return "[an error occurred while processing the directive]";
  return expand(await readFile(file, "utf8"), target, find, depth + 1);
}
