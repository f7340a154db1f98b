import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    "index": "src/index.ts",
    "bus-link": "src/bus-link.ts",
    "placement": "src/placement.ts",
    "reach": "src/reach.ts",
    "testing": "src/testing.ts",
    "conformance": "src/conformance.ts",
    "cli": "src/cli.ts",
  },
  format: "esm",
  target: "node20",
  dts: true,
  sourcemap: true,
  clean: true,
});
