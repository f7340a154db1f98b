import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { wireDocument } from "./fixtures/wire-document.ts";

// `UPDATE_DOCS=1 npx vitest run packages/bus/test/wire.test.ts` writes the document anew.
const file = fileURLToPath(new URL("../../../docs/wire.md", import.meta.url));

test("docs/wire.md says what the declarations say", () => {
  if (process.env["UPDATE_DOCS"]) writeFileSync(file, wireDocument());
  expect(readFileSync(file, "utf8")).toBe(wireDocument());
});
