import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// Every test of the proxy again, with the router's own engine: what a file of tests says holds for both.
engineUnderTest.option = { engine: "native" };
const folder = fileURLToPath(new URL("../proxy/", import.meta.url));
for (const name of readdirSync(folder)) {
  if (name.endsWith(".test.ts")) describe(`native engine, ${name}`, () => import(/* @vite-ignore */ `${folder}${name}`) as Promise<never>);
}
