import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** @typedef {{ name: string, folder: string, manifest: any, tarball: string, packedBytes: number, files: { path: string, size: number }[] }} Packed */

/** `npm pack` of every package in packages/, all at once; they must be built.
 * @param {{ root: string, into: string }} options @returns {Promise<Packed[]>} */
export async function packAll({ root, into }) {
  const names = await publishable(root);
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", into, ...names.flatMap((name) => ["--workspace", `packages/${name}`])], { cwd: root, maxBuffer: 16 << 20 });
  const parsed = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
  const answers = /** @type {any[]} */ (Array.isArray(parsed) ? parsed : Object.values(parsed));
  return Promise.all(names.map(async (name) => {
    const folder = join(root, "packages", name);
    const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const answer = answers.find((candidate) => candidate.name === manifest.name);
    if (!answer) throw new Error(`npm pack said nothing of ${manifest.name}`);
    // Old versions of npm report a scoped file name with its slash, and write it with a dash.
    return { name, folder, manifest, tarball: join(into, answer.filename.replace("@", "").replace("/", "-")), packedBytes: answer.size, files: answer.files };
  }));
}

/** @param {string} root @returns {Promise<string[]>} folder names in packages/ that are published, in order */
export async function publishable(root) {
  const names = await readdir(join(root, "packages"));
  const manifests = await Promise.all(names.map((name) => readFile(join(root, "packages", name, "package.json"), "utf8").then(JSON.parse, () => ({ private: true }))));
  return names.filter((_, index) => manifests[index].private !== true).sort();
}
