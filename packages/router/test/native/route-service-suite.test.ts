import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// Route services again, with the router's own engine.
engineUnderTest.option = { engine: "native" };
for (const name of ["affinity-cookie", "forwarded-proto", "route-service"]) {
  describe(`native engine, ${name}`, () => import(/* @vite-ignore */ `../route-service/${name}.test.ts`) as Promise<never>);
}
