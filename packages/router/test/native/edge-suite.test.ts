import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// TLS, PROXY protocol, HTTP/2 and WebSockets again, with the router's own engine.
engineUnderTest.option = { engine: "native" };
for (const part of ["edge", "http2"]) {
  const folder = fileURLToPath(new URL(`../${part}/`, import.meta.url));
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".test.ts")) describe(`native engine, ${part}/${name}`, () => import(/* @vite-ignore */ `${folder}${name}`) as Promise<never>);
  }
}
