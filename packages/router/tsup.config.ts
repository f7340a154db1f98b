import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    "index": "src/index.ts",
    "bus-link": "src/bus-link.ts",
    "routes-file": "src/routes-file.ts",
    "saved-routes": "src/saved-routes.ts",
    "bus": "src/bus.ts",
    "cli": "src/cli.ts",
  },
  format: "esm",
  target: "node20",
  dts: true,
  sourcemap: true,
  clean: true,
});
