// The sources of the router as one module, so that what is measured is what is there, built or not.
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const packages = fileURLToPath(new URL("../../../", import.meta.url));
const router = `export * from "./index.ts";`;
const fed = `export * from "./bus-link.ts"; export { createBus, natsTransport } from "@opencf/bus";`;

/** Stay what a user installs, found from the package that asks for them; everything else becomes part of the module. */
const asInstalled = {
  name: "as-installed",
  setup({ onResolve }) {
    onResolve({ filter: /^(undici|yaml|nats)$/ }, ({ path, importer }) => ({ path: pathToFileURL(createRequire(importer).resolve(path)).href, external: true }));
  },
};

/**
 * @param folder where the module goes.
 * @param bus whether it has what feeds the router from a bus as well.
 * Gives the path of the module.
 */
export async function bundle(folder, { bus = false } = {}) {
  const outfile = join(folder, "router.mjs");
  await build({
    stdin: { contents: bus ? router + fed : router, resolveDir: join(packages, "router/src") }, outfile,
    bundle: true, platform: "node", target: "node20", format: "esm", logLevel: "error", plugins: [asInstalled], alias: { "@opencf/bus": join(packages, "bus/src") },
  });
  return outfile;
}
