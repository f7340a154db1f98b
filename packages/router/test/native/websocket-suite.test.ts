import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// WebSockets again, on every way, with the router's own engine.
engineUnderTest.option = { engine: "native" };
const folder = fileURLToPath(new URL("../websocket/", import.meta.url));
for (const name of readdirSync(folder)) {
  if (name.endsWith(".test.ts")) describe(`native engine, ${name}`, () => import(/* @vite-ignore */ `${folder}${name}`) as Promise<never>);
}
