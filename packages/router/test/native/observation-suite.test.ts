import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// What is written down of requests and counted of them, again, with the router's own engine.
engineUnderTest.option = { engine: "native" };
for (const name of ["log/lines", "numbers/numbers", "status", "bus-traffic"]) describe(`native engine, ${name}`, () => import(/* @vite-ignore */ `../${name}.test.ts`) as Promise<never>);
