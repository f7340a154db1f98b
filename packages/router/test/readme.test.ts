import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle } from "./fixtures/bundle.ts";

const run = promisify(execFile);
let library: Awaited<ReturnType<typeof bundle>>;
let blocks: string[] = [];
beforeAll(async () => {
  library = await bundle({ index: "src/index.ts" });
  const text = await readFile(new URL("../README.md", import.meta.url), "utf8");
  blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
});
afterAll(() => library[Symbol.asyncDispose]());

test("the first example runs as it stands, says something and ends", async () => {
  const file = library.path("first");
  await writeFile(file, (blocks[0] as string).replace("\"@opencf/router\"", "\"./index.mjs\""));
  const { stdout } = await run(process.execPath, [file], { timeout: 20_000 });
  expect(stdout).toMatch(/^shop saw \/, request [0-9a-f-]{36}\nadmin saw \/admin\/users, request [0-9a-f-]{36}\n$/);
}, 30_000);

test("the example of steps makes a router", async () => {
  const file = library.path("steps");
  const block = blocks.find((text) => text.includes("createRouter({ steps:")) as string;
  await writeFile(file, block.replace("\"@opencf/router\"", "\"./index.mjs\"").replace("createRouter({ steps:", "const router = createRouter({ steps:") + "console.log(router.state);\n");
  expect((await run(process.execPath, [file], { timeout: 20_000 })).stdout).toBe("new\n");
}, 30_000);
