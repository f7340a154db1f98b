#!/usr/bin/env node
// Lets the router's own HTTP/1.1 reader and llhttp read the same generated messages, and counts where they differ.
//   node packages/router/bench/http1-fuzz.mjs [--messages 10000000] [--from 0] [--json]
// Each message is made from its number, so every finding can be repeated. Exit code 1 where a difference is not in test/http1/differential/known.ts.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { build } from "esbuild";

const { values } = parseArgs({
  options: { messages: { type: "string", default: "10000000" }, from: { type: "string", default: "0" }, json: { type: "boolean", default: false } },
});
const total = Number(values.messages);
const slice = 250_000;
const tests = fileURLToPath(new URL("../test/http1/differential/", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "opencf-http1-"));
try {
  const made = { bundle: true, platform: "node", target: "node20", format: "esm", logLevel: "error" };
  await build({ ...made, stdin: { contents: `import { main } from "./run.ts"; main(process.argv.slice(2));`, resolveDir: tests }, outfile: join(folder, "run.mjs") });
  await build({ ...made, entryPoints: [join(tests, "known.ts")], outfile: join(folder, "known.mjs") });
  const { known } = await import(join(folder, "known.mjs"));
  const found = {};
  let version = "";
  const started = performance.now();
  for (let done = 0; done < total; done += slice) {
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, "run.mjs"), String(Number(values.from) + done), String(Math.min(slice, total - done))], { maxBuffer: 16_777_216 });
    const { llhttp, differences } = JSON.parse(stdout);
    version = llhttp;
    for (const [what, { count, seed }] of Object.entries(differences)) {
      found[what] ??= { count: 0, seed };
      found[what].count += count;
    }
    if (!values.json) process.stderr.write(`\r${done + Math.min(slice, total - done)} of ${total}`);
  }
  const rows = Object.entries(found).sort(([, one], [, other]) => other.count - one.count)
    .map(([difference, { count, seed }]) => ({ difference, count, "per million": Math.round(count / total * 1e6), seed, reason: known[difference] ?? "UNKNOWN" }));
  const seconds = Math.round((performance.now() - started) / 1_000);
  if (values.json) console.log(JSON.stringify({ messages: total, llhttp: version, node: process.version, seconds, rows }));
  else {
    console.log(`\n${total} messages, llhttp ${version}, ${seconds} s`);
    console.table(rows);
  }
  if (rows.some(({ reason }) => reason === "UNKNOWN")) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
