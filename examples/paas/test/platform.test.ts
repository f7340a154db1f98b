import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { platformVersion } from "../platform.ts";

test("parts tell the version of the package", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  expect(platformVersion).toBe(version);
});
