import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkDocs } from "../scripts/check-docs.mjs";
import { writeTree } from "./support/apps.ts";
import { tempFolder } from "./support/temp.ts";

const clean = {
  "packages/bus/package.json": JSON.stringify({ name: "@opencf/bus", exports: { ".": {}, "./http": {} } }),
  "packages/bus/src/errors.ts": `export const codes = ["BUS_CLOSED", "BUS_TIMEOUT"] as const;`,
  "packages/bus/README.md": "# Bus\n\n`import \"@opencf/bus/http\"`, see [the errors](../../docs/errors.md#bus).\n",
  "examples/paas/logs/errors.ts": `const fates = { LOG_LOST: 1 };\nexport const codes = Object.keys(fates);`,
  "docs/errors/bus.md": "# bus\n\n| code | meaning | what to do |\n|---|---|---|\n| `BUS_CLOSED` | closed | reopen |\n| `BUS_TIMEOUT` | late | again |\n",
  "docs/errors/paas.md": "# paas\n\n| code | meaning | what to do |\n|---|---|---|\n| `LOG_LOST` | lost | look |\n",
};

describe("check-docs", () => {
  test("joins the tables and finds nothing wrong with a tree where all is documented", async () => {
    await using folder = await tempFolder("docs");
    await writeTree(folder.path, clean);
    expect(await checkDocs({ root: folder.path, write: true })).toEqual([]);
    expect(await readFile(join(folder.path, "docs/errors.md"), "utf8")).toMatch(/## bus\n[\s\S]*`BUS_TIMEOUT`[\s\S]*## paas\n[\s\S]*`LOG_LOST`/);
  });

  const violations: { name: string; files: Record<string, string>; says: RegExp }[] = [
    { name: "a code without a row", files: { "packages/bus/src/errors.ts": `export const codes = ["BUS_CLOSED", "BUS_TIMEOUT", "BUS_NEW"] as const;` }, says: /errors\.ts: BUS_NEW has no row/ },
    { name: "a code without a row in an example, listed as keys", files: { "examples/paas/logs/errors.ts": `const fates = { LOG_LOST: 1, LOG_FULL: 2 };\nexport const codes = Object.keys(fates) as readonly string[];` }, says: /LOG_FULL has no row/ },
    { name: "a row without a code", files: { "packages/bus/src/errors.ts": `export const codes = ["BUS_CLOSED"] as const;` }, says: /BUS_TIMEOUT is in no errors\.ts/ },
    { name: "a row twice", files: { "docs/errors/paas.md": `${clean["docs/errors/paas.md"]}| \`BUS_CLOSED\` | again | again |\n` }, says: /BUS_CLOSED already has a row/ },
    { name: "a package that lists no codes", files: { "packages/bus/src/errors.ts": "export class BusError extends Error {}" }, says: /no list of codes/ },
    { name: "a dead link", files: { "docs/guide.md": "[here](./nowhere.md)" }, says: /"\.\/nowhere\.md" leads nowhere/ },
    { name: "a link to a heading that is not there", files: { "docs/guide.md": "[here](errors.md#router)" }, says: /names a heading that is not there/ },
    { name: "a subpath that is not exported", files: { "docs/guide.md": "`import x from \"@opencf/bus/secret\"`" }, says: /@opencf\/bus\/secret is not exported/ },
    { name: "a package that does not exist", files: { "docs/guide.md": "`import x from \"@opencf/buss\"`" }, says: /no package @opencf\/buss/ },
  ];
  test.each(violations)("reports $name", async ({ files, says }) => {
    await using folder = await tempFolder("docs");
    await writeTree(folder.path, { ...clean, ...files });
    const problems = await checkDocs({ root: folder.path, write: true });
    expect(problems.some((problem) => says.test(problem)), problems.join("\n")).toBe(true);
  });

  test("reports a joined page that is out of date", async () => {
    await using folder = await tempFolder("docs");
    await writeTree(folder.path, { ...clean, "docs/errors.md": "# Error codes\n\n## bus\n" });
    expect(await checkDocs({ root: folder.path })).toEqual([expect.stringMatching(/run `node scripts\/check-docs\.mjs --write`/)]);
  });
});
