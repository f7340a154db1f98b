import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { codes, RouterError } from "../src/index.ts";

test("every code has its row in docs/errors, and every row its code", async () => {
  const text = await readFile(new URL("../../../docs/errors/router.md", import.meta.url), "utf8");
  const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \|$/gm)];
  expect(rows.map(([, code]) => code).sort()).toEqual([...codes].sort());
});

test("an error keeps its cause", () => {
  const cause = new Error("why");
  expect(new RouterError("ROUTER_CLOSED", "m", { cause, retryable: true })).toMatchObject({ name: "RouterError", code: "ROUTER_CLOSED", retryable: true, cause });
});
