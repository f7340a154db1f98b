import { defineConfig } from "tsup";

export default defineConfig({
  entry: {
    "index": "src/index.ts",
    "messages": "src/messages.ts",
    "messages/route": "src/messages/route.ts",
    "messages/droplet": "src/messages/droplet.ts",
    "messages/staging": "src/messages/staging.ts",
    "messages/health": "src/messages/health.ts",
    "messages/component": "src/messages/component.ts",
    "messages/log": "src/messages/log.ts",
    "http": "src/http.ts",
    "conformance": "src/conformance.ts",
    "cli": "src/cli.ts",
  },
  format: "esm",
  target: "node20",
  dts: true,
  sourcemap: true,
  clean: true,
});
