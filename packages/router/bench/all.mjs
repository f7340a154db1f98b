#!/usr/bin/env node
// Every measurement of the router, one after the other, as tables in markdown: `npm run bench:router > result.md`. Ten minutes, twice as much with GOROUTER and PEERS.
//   node packages/router/bench/all.mjs [--quick] [--only proxy,latency] [--json]
// GOROUTER=/path/to/gorouter and PEERS=/folder add proxies to compare with, see proxy.bench.mjs. Nothing else should run on the machine.
// `--quick`: a few seconds of each, to see that all work; the figures mean nothing. `--json`: one document per line.
// Each is a program of its own with more options: node packages/router/bench/NAME.bench.mjs --help
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { commandLine } from "./kit/report.mjs";

const short = ["--seconds", "0.3", "--rounds", "1"];
/** Name, options, and what makes it quick. */
const benches = [
  ["proxy", [], short],
  ["proxy", ["--tls"], short],
  ["latency", [], [...short, "--warm", "0.3"]],
  ["transfer", [], ["--mib", "64", "--rounds", "1"]],
  ["idle", [], ["--connections", "500", "--websockets", "200", "--settle", "0.2"]],
  ["registrations", [], [...short, "--apps", "2000", "--burst", "5000"]],
  ["lookup", [], ["--most", "10000"]],
];

const options = commandLine(import.meta.url, { quick: false, only: "" });
const names = new Set(benches.map(([name]) => name));
const wanted = options.only === "" ? [...names] : options.only.split(",");
const unknown = wanted.filter((name) => !names.has(name));
if (unknown.length > 0) {
  console.error(`--only ${unknown.join(",")}: expected some of ${[...names].join(", ")}`);
  process.exit(2);
}
let stopped = false;
for (const [name, always, quick] of benches) {
  if (stopped || !wanted.includes(name)) continue;
  const args = [...always, ...(options.quick ? quick : []), ...(options.json ? ["--json"] : [])];
  process.stderr.write(`${name} ${args.join(" ")}\n`);
  const child = spawn(process.execPath, [fileURLToPath(new URL(`./${name}.bench.mjs`, import.meta.url)), ...args], { stdio: "inherit" });
  const stop = () => {
    stopped = true;
    child.kill("SIGTERM");
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const code = await new Promise((resolve) => child.once("exit", resolve));
  process.off("SIGINT", stop).off("SIGTERM", stop);
  if (code !== 0) {
    process.stderr.write(`${name} ended with ${code}\n`);
    process.exitCode = 1;
  }
}
