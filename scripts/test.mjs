#!/usr/bin/env node
// `npm test`: everything, from a fresh clone, as any user. Installs what is missing, builds, checks, runs all tests,
// and ends with one line: `N passed, N failed`. Exit code 1 when anything failed.
//   node scripts/test.mjs                 everything
//   node scripts/test.mjs lint layers     only these steps
// With CI=true a missing server (NATS, PostgreSQL) is a failure; elsewhere its tests say what to install and are skipped.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { components, findProgram, fullPath } from "./lib/components.mjs";
import { isInstalled } from "./lib/install.mjs";
import { readReport } from "./lib/report.mjs";
import { runStep } from "./lib/steps.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const ci = /^(1|true)$/i.test(process.env["CI"] ?? "");
const asked = process.argv.slice(2);
const env = {
  ...process.env, PATH: fullPath(), TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_UPDATE_NOTIFIER: "1",
  npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false", FORCE_COLOR: "0",
};
const bin = (/** @type {string} */ name) => join(root, "node_modules", ".bin", name);
const script = (name) => /** @type {[string, string[]]} */ ([process.execPath, [join(root, "scripts", name)]]);

const began = Date.now();
let passed = 0;
let failed = 0;
let skipped = 0;
/** Files that may run a second time, alone; more than that is no accident. */
const secondTries = 6;
/** @type {import("./lib/report.mjs").Failure[]} */
const unsteady = [];
/** @type {import("./lib/report.mjs").Failure[]} */
const lost = [];
const work = await mkdtemp(join(tmpdir(), "opencf-test-"));

const say = (/** @type {string} */ text) => console.log(`[${String(Math.round((Date.now() - began) / 1000)).padStart(4)} s] ${text}`);
const wanted = (/** @type {string} */ name) => asked.length === 0 || asked.includes(name);

/** A step that counts as one. @param {string} name @param {string} program @param {string[]} args @param {{ limitMs?: number }} [options] */
async function check(name, program, args, options) {
  if (!wanted(name)) return true;
  const { ok, output, seconds } = await runStep(program, args, { cwd: root, env, ...options });
  if (ok) passed++;
  else failed++;
  say(`${ok ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
  if (!ok) console.log(output.trim().replaceAll(/^/gm, "         "));
  return ok;
}

/** Runs vitest and reads its report. @param {string} name @param {string[]} args @param {number} limitMs */
async function vitest(name, args, limitMs) {
  const report = join(work, `${name}.json`);
  const { ok, seconds } = await runStep(bin("vitest"), ["run", ...args, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`], { cwd: root, env, live: true, limitMs });
  const result = await readFile(report, "utf8").then(JSON.parse, () => undefined);
  return { ok, seconds, ...readReport(result, root) };
}

/** A run of the tests but those below some folders; each test counts. A filter of vitest matches anywhere in a path, so it
 * cannot say "only test/". Files that failed while others ran beside them run once more, each alone: what passes then is
 * counted as passed and named as unsteady at the end. @param {string} name @param {string[]} without @param {{ limitMs: number }} options */
async function tests(name, without, { limitMs }) {
  if (!wanted(name)) return;
  say(`run    ${name}: all tests but those below ${without.join(", ")}`);
  const first = await vitest(name, without.map((folder) => `--exclude=${folder}/**`), limitMs);
  let { ok, failures } = first;
  let good = first.passed;
  if (!ok && failures.length > 0 && first.brokenFiles.length <= secondTries) {
    say(`again  ${name}: ${first.brokenFiles.join(", ")}, nothing beside`);
    const second = await vitest(`${name}-again`, [...first.brokenFiles, "--no-file-parallelism"], Math.min(limitMs, 240_000));
    good = good - first.passedInBroken + second.passed;
    unsteady.push(...failures.filter((one) => !second.failures.some((other) => other.name === one.name)));
    failures = second.failures;
    // A run that ends badly without a failed test has lost one on the way: an unhandled error, a killed worker.
    ok = second.ok;
  }
  if (!ok && failures.length === 0) failures = [{ name: `${name}: the run ended badly without a failed test`, message: "an unhandled error or a killed worker; see above" }];
  passed += good;
  failed += failures.length;
  lost.push(...failures);
  skipped += first.skipped;
  say(`${ok ? "ok    " : "FAILED"} ${name}: ${good} passed, ${failures.length} failed, ${first.skipped} skipped (${first.seconds.toFixed(1)} s)`);
}

/** @param {string} title @param {import("./lib/report.mjs").Failure[]} failures */
function list(title, failures) {
  if (failures.length === 0) return;
  say(title);
  for (const { name, message } of failures) console.log(`         ${name}\n${message.replaceAll(/^/gm, "           ")}`);
}

async function everything() {
  if (!await isInstalled(root)) {
    say("run    install");
    const install = await runStep("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, env });
    const again = install.ok || ci ? install : await runStep("npm", ["install", "--no-audit", "--no-fund"], { cwd: root, env });
    if (!again.ok) {
      console.log(again.output);
      failed++;
      return;
    }
  }
  for (const { programs, install, what } of components) {
    const missing = programs.filter((program) => !findProgram(program));
    if (missing.length === 0) continue;
    say(`${ci ? "FAILED" : "note  "} ${missing.join(", ")} not found, so ${what} is not tested; ${install}`);
    if (ci) failed++;
  }
  await check("build", bin("turbo"), ["run", "build", "--concurrency=2", "--output-logs=errors-only", "--ui=stream"]);
  await Promise.all([check("types", bin("tsc"), ["-p", "tsconfig.json"]), check("lint", bin("eslint"), ["--max-warnings", "0", "."])]);
  await Promise.all([check("layers", ...script("check-layers.mjs")), check("docs", ...script("check-docs.mjs")), check("packages", ...script("check-packages.mjs"))]);
  // Only what hangs should meet these: machines that take three times as long as others have been seen.
  await tests("units", ["test"], { limitMs: 2_400_000 });
  await tests("system", ["packages", "examples"], { limitMs: 1_200_000 });
  if (ci || asked.includes("nodes")) await check("nodes", ...script("test-nodes.mjs"), { limitMs: 600_000 });
}

try {
  await everything();
} catch (error) {
  console.error(error);
  failed++;
} finally {
  await rm(work, { recursive: true, force: true });
}
list("unsteady: failed beside others, passed alone", unsteady);
list("failed", lost);
if (skipped > 0) say(`${skipped} skipped; each says why above`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
