import { defineConfig } from "tsup";

export default defineConfig({
  entry: { "memory-kv": "memory-kv.ts" },
  format: "esm",
  target: "node20",
  dts: false,
  sourcemap: true,
  clean: true,
});
