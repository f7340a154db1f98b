import { describe } from "vitest";
import { engineUnderTest } from "../fixtures/engine.ts";

// Route services again, with the router's own engine.
engineUnderTest.option = { engine: "native" };
describe("native engine", () => import("../route-service/route-service.test.ts") as Promise<never>);
