import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { checkLayers } from "../scripts/check-layers.mjs";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A repository made of these files, each package declaring what it uses. */
async function repository(files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "opencf-layers-"));
  folders.push(root);
  const manifests = {
    "packages/bus/package.json": { name: "@opencf/bus" },
    "packages/router/package.json": { name: "@opencf/router" },
    "packages/dea/package.json": { name: "@opencf/dea" },
    "examples/paas/package.json": { name: "@opencf-examples/paas", dependencies: { "@opencf/bus": "1" } },
  };
  const router = files["packages/router/src/bus-link.ts"] ?? "";
  if (Object.values(files).some((text) => text.includes("@opencf/bus")) || router) {
    Object.assign(manifests["packages/router/package.json"], { dependencies: { "@opencf/bus": "1" } });
  }
  for (const [path, text] of [...Object.entries(manifests).map(([path, json]) => [path, JSON.stringify(json)] as const), ...Object.entries(files)]) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

const clean = {
  "packages/bus/src/index.ts": `export { a } from "./room/a.ts";`,
  "packages/bus/src/room/a.ts": `import type { Port } from "../ports.ts"; import { b } from "./b.ts"; export const a: Port = b;`,
  "packages/bus/src/room/b.ts": `import { readFile } from "node:fs/promises"; export const b = readFile;`,
  "packages/bus/src/ports.ts": `export type Port = unknown;`,
  "packages/router/src/bus-link.ts": `import { a } from "@opencf/bus"; export const linked = a;`,
  "examples/paas/main.ts": `import { a } from "@opencf/bus"; console.log(a);`,
};

describe("check-layers", () => {
  test("a tree where everything points down has no problems", async () => {
    expect(await checkLayers({ root: await repository(clean) })).toEqual([]);
  });

  const violations: { name: string; files: Record<string, string>; says: RegExp }[] = [
    { name: "a package edge that is not in the table", files: { "packages/bus/src/x.ts": `import { r } from "@opencf/router"; export const x = r;` }, says: /package bus may not import router/ },
    { name: "the bus met outside bus-link.ts", files: { "packages/router/src/table.ts": `import { a } from "@opencf/bus"; export const t = a;` }, says: /router meets bus only in/ },
    { name: "even by type", files: { "packages/router/src/table.ts": `import type { A } from "@opencf/bus"; export type T = A;` }, says: /router meets bus only in/ },
    { name: "a package that imports an example", files: { "packages/bus/src/x.ts": `import "@opencf-examples/paas";` }, says: /examples are leaves/ },
    { name: "a path into another package", files: { "packages/bus/src/x.ts": `export * from "../../router/src/index.ts";` }, says: /another package by path/ },
    { name: "a cycle of values", files: { "packages/bus/src/x.ts": `import { y } from "./y.ts"; export const x = y;`, "packages/bus/src/y.ts": `import { x } from "./x.ts"; export const y = x;` }, says: /^cycle: packages\/bus\/src\/x.ts <-> packages\/bus\/src\/y.ts$/ },
    { name: "a cycle of types", files: { "packages/bus/src/x.ts": `import type { Y } from "./y.ts"; export type X = Y;`, "packages/bus/src/y.ts": `import { type X } from "./x.ts"; export type Y = X;` }, says: /^cycle of types: / },
    { name: "a cycle through import()", files: { "packages/bus/src/x.ts": `export const x = () => import("./y.ts");`, "packages/bus/src/y.ts": `import { x } from "./x.ts"; export const y = x;` }, says: /^cycle: / },
    {
      name: "two rooms that lean on each other", files: {
        "packages/bus/src/p/one.ts": `import { q } from "../q/one.ts"; export const p = q;`, "packages/bus/src/q/one.ts": `export const q = 1;`,
        "packages/bus/src/q/two.ts": `import { r } from "../p/two.ts"; export const q2 = r;`, "packages/bus/src/p/two.ts": `export const r = 1;`,
      }, says: /^layers: packages\/bus\/src\/p and packages\/bus\/src\/q lean on each other$/,
    },
    { name: "an import of the barrel", files: { "packages/bus/src/x.ts": `import { a } from "./index.ts"; export const x = a;` }, says: /own index.ts/ },
    { name: "an undeclared dependency", files: { "packages/bus/src/x.ts": `import undici from "undici"; export const x = undici;` }, says: /"undici", which its package.json does not declare/ },
    { name: "an unused dependency", files: { "packages/dea/package.json": `{ "name": "@opencf/dea", "dependencies": { "ajv": "8" } }`, "packages/dea/src/index.ts": "export const one = 1;" }, says: /declares "ajv", which nothing/ },
    { name: "a builtin without node:", files: { "packages/bus/src/x.ts": `import fs from "fs/promises"; export const x = fs;` }, says: /write "node:fs\/promises"/ },
  ];
  test.each(violations)("reports $name", async ({ files, says }) => {
    const problems = await checkLayers({ root: await repository({ ...clean, ...files }) });
    expect(problems.some((problem) => says.test(problem)), problems.join("\n")).toBe(true);
  });
});
