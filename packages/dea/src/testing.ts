// The suite moved to `@opencf/dea/conformance`; this name of it stays.
export { backendCases, backendConformance, type ConformanceCase, type ConformanceContext, type ConformanceOptions } from "./conformance.ts";
