import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packAll, type Packed } from "../scripts/lib/pack.mjs";
import { firstExample } from "../scripts/lib/readme.mjs";
import { run } from "./support/run.ts";
import { tempFolder } from "./support/temp.ts";

// A stranger's view: an empty project, `npm install` of one package as it would be published, its README's first example.
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const names = ["bus", "router", "dea", "staging", "broker-api", "uaa-client"];

let folder: Awaited<ReturnType<typeof tempFolder>>;
let packed: Packed[] = [];
beforeAll(async () => {
  folder = await tempFolder("packages");
  packed = await packAll({ root, into: folder.path });
});
afterAll(() => folder[Symbol.asyncDispose]());

/** The tarball of a package and those of our own packages it needs, nearest first. */
function tarballs(name: string): string[] {
  const pack = packed.find((candidate) => candidate.name === name);
  if (!pack) throw new Error(`no tarball of ${name}`);
  const ours = Object.keys(pack.manifest.dependencies ?? {}).filter((dependency) => dependency.startsWith("@opencf/"));
  return [pack.tarball, ...ours.flatMap((dependency) => tarballs(dependency.slice("@opencf/".length)))];
}

describe.concurrent.each(names)("@opencf/%s in an empty project", (name) => {
  test("installs, compiles under strict, runs its first example, and its program explains itself", { timeout: 240_000 }, async () => {
    const project = join(folder.path, name);
    await mkdir(project);
    const init = await run("npm", ["init", "--yes"], { cwd: project });
    expect(init.code, init.all).toBe(0);
    const install = await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...tarballs(name)], { cwd: project, limitMs: 180_000 });
    expect(install.code, install.all).toBe(0);

    const { manifest, folder: source } = packed.find((candidate) => candidate.name === name) as Packed;
    const entries = Object.keys(manifest.exports).filter((path) => path !== "./package.json").map((path) => `${manifest.name}${path.slice(1)}`);
    await writeFile(join(project, "use.mts"), entries.map((entry, index) => `import * as entry${index} from "${entry}";\nexport type Names${index} = keyof typeof entry${index};\nexport const first${index}: Names${index} | undefined = Object.keys(entry${index})[0] as Names${index} | undefined;\n`).join(""));
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({
      compilerOptions: { strict: true, module: "NodeNext", moduleResolution: "NodeNext", target: "ES2022", lib: ["ES2023", "ESNext.Disposable"], noEmit: true, types: ["node"], typeRoots: [join(root, "node_modules", "@types")] },
      files: ["use.mts"],
    }));
    const types = await run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "."], { cwd: project });
    const complaints = types.stdout.split("\n").filter((line) => /^use\.mts|@opencf\//.test(line));
    expect(complaints, types.all).toEqual([]);

    await writeFile(join(project, "example.mjs"), await firstExample(join(source, "README.md")));
    const example = await run(process.execPath, ["example.mjs"], { cwd: project, limitMs: 20_000 });
    expect(example.code, `${example.all}\n(the first \`\`\`js block of packages/${name}/README.md)`).toBe(0);
    expect(example.stdout.trim(), "the example prints something").not.toBe("");

    for (const program of Object.keys(manifest.bin ?? {})) {
      const help = await run(join(project, "node_modules", ".bin", program), ["--help"], { cwd: project });
      expect(help.code, help.all).toBe(0);
      expect(help.stdout).toMatch(new RegExp(program));
      const wrong = await run(join(project, "node_modules", ".bin", program), ["--no-such-flag"], { cwd: project });
      expect(wrong.code, `${program} --no-such-flag: ${wrong.all}`).toBe(2);
    }
  });
});
