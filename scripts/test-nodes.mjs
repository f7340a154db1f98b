#!/usr/bin/env node
// The built packages on the other supported lines of Node: brings each line into a temporary folder and runs with it
// every README's first example, every program's --help, and the reference platform until it answers.
//   node scripts/test-nodes.mjs [22 24 ...]
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { packAll } from "./lib/pack.mjs";
import { firstExample } from "./lib/readme.mjs";
import { runStep } from "./lib/steps.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const lines = process.argv.slice(2).length > 0 ? process.argv.slice(2) : ["22", "24"];
const work = await mkdtemp(join(tmpdir(), "opencf-nodes-"));
let failures = 0;

/** @param {string} what @param {Promise<import("./lib/steps.mjs").Outcome>} step */
async function report(what, step) {
  const { ok, output, seconds } = await step;
  console.log(`${ok ? "ok    " : "FAILED"} ${what} (${seconds.toFixed(1)} s)`);
  if (!ok) {
    failures++;
    console.log(output.trim().replaceAll(/^/gm, "       "));
  }
  return ok;
}

try {
  const packed = await packAll({ root, into: work });
  await writeFile(join(work, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const tools = lines.map((line) => `node${line}@npm:node@${line}`);
  const installed = await report("install", runStep("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...tools, ...packed.map(({ tarball }) => tarball)], { cwd: work, limitMs: 180_000 }));
  for (const line of installed ? lines : []) {
    const node = join(work, "node_modules", `node${line}`, "bin", "node");
    for (const { name, folder, manifest } of packed) {
      const example = join(work, `${name}.mjs`);
      await writeFile(example, await firstExample(join(folder, "README.md")));
      await report(`node ${line}: ${manifest.name} README example`, runStep(node, [example], { cwd: work, limitMs: 20_000 }));
      for (const target of Object.values(manifest.bin ?? {})) {
        await report(`node ${line}: ${manifest.name} --help`, runStep(node, [join(work, "node_modules", manifest.name, target), "--help"], { cwd: work, limitMs: 20_000 }));
      }
    }
    await report(`node ${line}: the platform stands and answers`, platformAnswers(node, line));
  }
} finally {
  await rm(work, { recursive: true, force: true, maxRetries: 5 });
}
console.log(failures === 0 ? "nodes: all well" : `nodes: ${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

/** @param {string} node @param {string} line @returns {Promise<import("./lib/steps.mjs").Outcome>} */
async function platformAnswers(node, line) {
  const began = Date.now();
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (probe.address());
  await new Promise((done) => probe.close(done));
  const dataDir = join(work, `data-${line}`);
  const child = spawn(node, [join(root, "examples", "paas", "dist", "cli.js"), "--port", String(port), "--data-dir", dataDir, "--json", "--no-demo"], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (text) => { output += text; });
  const gone = once(child, "exit");
  try {
    const api = await Promise.race([
      new Promise((found) => createInterface(child.stdout).on("line", (text) => {
        output += `${text}\n`;
        if (text.startsWith("{")) found(JSON.parse(text).api);
      })),
      gone.then(() => undefined),
      new Promise((late) => setTimeout(late, 60_000).unref()),
    ]);
    const answer = api ? await fetch(`${api}/v3/info`) : undefined;
    return { ok: answer?.status === 200, output: `${output}\n/v3/info -> ${answer?.status ?? "the platform did not stand"}`, seconds: (Date.now() - began) / 1000 };
  } finally {
    child.kill("SIGTERM");
    const impatient = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await gone;
    clearTimeout(impatient);
  }
}
