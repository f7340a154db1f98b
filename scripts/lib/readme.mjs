import { readFile } from "node:fs/promises";

/** The first ```js block of a README: the example that must run as written in an empty project.
 * @param {string} file @returns {Promise<string>} */
export async function firstExample(file) {
  const found = /^```js[^\n]*\n([\s\S]*?)^```/m.exec(await readFile(file, "utf8"));
  if (!found?.[1]) throw new Error(`${file} has no \`\`\`js block`);
  return found[1];
}
