#!/usr/bin/env node
// Unpacking a droplet of many files, beside `tar xzf` of the same. They take turns; the ratio is the median of those of neighbours.
//   npm run build -w packages/dea && node packages/dea/bench/unpack.bench.mjs [--files 20000] [--mib 80] [--rounds 5] [--json]
// (On the `linux` backend this happens once per host: instances share what is unpacked.)
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { makeDroplet, median, row, timed } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { files: 20_000, mib: 80, rounds: 5, dist: "../dist" });
const { unpack } = await import(`${options.dist}/index.js`);
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
try {
  const tgz = await makeDroplet(dir, { files: options.files, bytes: options.mib * 1024 ** 2, command: "true" });
  const to = join(dir, "to");
  const ours = [];
  const theirs = [];
  for (let round = 0; round <= options.rounds; round++) {
    mkdirSync(to);
    const cpu = process.cpuUsage();
    const began = performance.now();
    await unpack(tgz, to);
    const ms = performance.now() - began;
    const { user, system } = process.cpuUsage(cpu);
    rmSync(to, { recursive: true });
    mkdirSync(to);
    const tar = await timed("tar", ["-xzf", tgz, "-C", to]);
    rmSync(to, { recursive: true });
    // The first of each warms the caches.
    if (round === 0) continue;
    ours.push({ ms, cpuMs: (user + system) / 1_000 });
    theirs.push(tar);
  }
  const speed = median(ours.map(({ ms }, at) => theirs[at].ms / ms));
  const of = (list, name) => `${median(list.map((one) => one[name])).toFixed(0)} ms`;
  const rows = [
    row({ what: `unpacking a droplet of ${options.files} files`, ours: of(ours, "ms"), peer: `tar xzf: ${of(theirs, "ms")}`, ratio: speed.toFixed(2), target: ">= 0.9x", held: speed >= 0.9 }),
    row({ what: "the same, processor time", ours: of(ours, "cpuMs"), peer: `tar xzf: ${of(theirs, "cpuMs")}`, ratio: median(ours.map(({ cpuMs }, at) => theirs[at].cpuMs / cpuMs)).toFixed(2) }),
  ];
  report({ json: options.json, title: "Unpacking", tables: [{ title: "beside tar", rows }] });
} finally {
  rmSync(dir, { recursive: true, force: true });
}
