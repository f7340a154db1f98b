// `npm start`: installs and builds what is missing or older than the sources, then becomes the platform.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { buildInputs } from "./lib/files.mjs";
import { isInstalled } from "./lib/install.mjs";
import { runStep } from "./lib/steps.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const args = process.argv.slice(2);
const quiet = args.includes("--json");
const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Node ${process.versions.node} is too old: OpenCF needs 20.19 or newer.`);
  process.exit(1);
}
if (args.includes("--help") || args.includes("-h")) {
  process.stdout.write(await readFile(join(root, "examples/paas/usage.txt")));
  process.exit(0);
}

if (!(await isInstalled(root))) await step("install what it needs", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);

// Looking whether anything changed costs a few milliseconds; asking turbo costs a second.
const stamp = join(root, "node_modules/.opencf-built");
const hash = createHash("sha256");
for (const file of buildInputs(root, ["packages", "examples/paas"])) hash.update(file).update(await readFile(join(root, file)));
const sources = hash.digest("hex");
if ((await readFile(stamp, "utf8").catch(() => "")) !== sources) {
  await step("build", join(root, "node_modules/.bin/turbo"), ["run", "build", "--no-daemon", "--output-logs=errors-only", "--ui=stream"]);
  await writeFile(stamp, sources);
}
await import(pathToFileURL(join(root, "examples/paas/dist/cli.js")).href);

async function step(title, program, parameters) {
  const started = performance.now();
  const line = (mark) => `  ${mark} ${title.padEnd(44)} ${((performance.now() - started) / 1_000).toFixed(2)} s`;
  const ticking = !quiet && process.stdout.isTTY ? setInterval(() => process.stdout.write(`\r${line("…")}`), 200) : undefined;
  const { ok, output } = await runStep(program, parameters, { cwd: root, env });
  clearInterval(ticking);
  if (!quiet) process.stdout.write(`${process.stdout.isTTY ? "\r" : ""}${line(ok ? "✓" : "✗")}\n`);
  if (ok) return;
  process.stderr.write(`${output.trim()}\n\n${title}: ${program} ${parameters.join(" ")} did not work.\n`);
  process.exit(1);
}
