#!/usr/bin/env node
// Every measurement of the executor, one after the other, as one table in markdown: `npm run bench:dea > result.md`. Some ten minutes; most of it needs root.
//   node packages/dea/bench/all.mjs [--quick] [--only start,unpack,idle,logs,heartbeat]
// Nothing else should run on the machine. `--quick`: a little of each, to see that all work; the figures mean nothing.
// Each is a program of its own with more options: node packages/dea/bench/NAME.bench.mjs --help
import { spawn } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { commandLine } from "../../router/bench/kit/report.mjs";

/** Name, whether it needs root, and what makes it quick. */
const benches = [
  ["start", true, ["--starts", "3", "--burst", "4", "--droplet", "1"]],
  ["unpack", false, ["--files", "500", "--mib", "2", "--rounds", "1"]],
  ["idle", true, ["--instances", "5", "--seconds", "1"]],
  ["logs", false, ["--mib", "8"]],
  ["heartbeat", false, ["--instances", "50", "--beats", "5"]],
];

const options = commandLine(import.meta.url, { quick: false, only: "", dist: "../dist" });
const wanted = options.only === "" ? benches.map(([name]) => name) : options.only.split(",");
const unknown = wanted.filter((name) => !benches.some(([known]) => known === name));
if (unknown.length > 0) {
  console.error(`--only ${unknown.join(",")}: expected some of ${benches.map(([name]) => name).join(", ")}`);
  process.exit(2);
}
const rows = [];
const skipped = [];
for (const [name, root, quick] of benches) {
  if (!wanted.includes(name)) continue;
  if (root && process.getuid?.() !== 0) {
    skipped.push(`${name} needs root`);
    continue;
  }
  const args = [fileURLToPath(new URL(`./${name}.bench.mjs`, import.meta.url)), "--json", "--dist", options.dist, ...(options.quick ? quick : [])];
  process.stderr.write(`${name}\n`);
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const stop = () => child.kill("SIGTERM");
  process.on("SIGINT", stop).on("SIGTERM", stop);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (piece) => (text += piece));
  const code = await new Promise((resolve) => child.once("close", resolve));
  process.off("SIGINT", stop).off("SIGTERM", stop);
  if (text === "" || code === null) {
    skipped.push(`${name} ended with ${code}`);
    process.exitCode = 1;
    if (code === null) break;
  } else rows.push(...JSON.parse(text).tables.flatMap((table) => table.rows));
}
const columns = ["what", "ours", "peer", "ratio", "target", "held"];
console.log(`node ${process.version} · ${availableParallelism()} cores · ${cpus()[0]?.model}\n`);
console.log([columns, columns.map((_, at) => (at === 0 ? "---" : "---:")), ...rows.map((row) => columns.map((name) => row[name] ?? ""))].map((cells) => `| ${cells.join(" | ")} |`).join("\n"));
for (const text of skipped) console.log(`\n${text}`);
if (!options.quick && rows.some(({ held }) => held === "NO")) process.exitCode = 1;
