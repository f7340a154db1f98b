import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder } from "./fixtures/droplet.ts";

test("the first example of the README runs as written", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(example).toBeDefined();
  await using folder = await temporaryFolder();
  await using programs = await bundle({ index: "src/index.ts" });
  const file = programs.path("index").replace("index.mjs", "example.mjs");
  await writeFile(file, (example ?? "").replace("\"@opencf/dea\"", "\"./index.mjs\""));
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder.path, timeout: 20_000 });
  expect(stdout).toContain("Good morning from instance 0");
  expect(stdout).toMatch(/\d+ MiB/);
  expect(stdout).toContain("stdout GET /health");
  expect(await readFile(join(folder.path, "hello.tgz"))).toBeDefined();
});
