import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { documented, optionsOf, optionsPage } from "./options-page.ts";

const file = fileURLToPath(new URL("../../../../docs/router-options.md", import.meta.url));

test("every option has a docstring", () => {
  for (const { file: source, name } of documented) {
    const options = optionsOf(source, name);
    expect(options.length, name).toBeGreaterThan(1);
    expect(options.filter(({ text }) => text.length < 10).map((option) => `${name}.${option.name}`)).toEqual([]);
  }
});

test("docs/router-options.md has every option and every key (UPDATE_DOCS=1 writes it)", () => {
  if (process.env["UPDATE_DOCS"] !== undefined) writeFileSync(file, optionsPage());
  expect(readFileSync(file, "utf8")).toBe(optionsPage());
});
