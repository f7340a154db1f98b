import { defineConfig } from "tsup";

export default defineConfig({
  entry: { cli: "cli.ts", prepare: "prepare.ts" },
  format: "esm",
  target: "node20",
  dts: false,
  sourcemap: true,
  clean: true,
});
