#!/usr/bin/env node
// What instances that do nothing cost the executor. On the `linux` backend; needs root.
//   npm run build -w packages/dea && node packages/dea/bench/idle.bench.mjs [--instances 200] [--seconds 10] [--json]
// Processor: of the executor and of whatever it runs meanwhile. Memory: what its resident set grew by; the shell that waits beside each container is told apart, by its share (PSS).
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { makeDroplet, row, sleep } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { instances: 200, seconds: 10, dist: "../dist" });
const { createDea, linuxBackend, MiB } = await import(`${options.dist}/index.js`);
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
const tgz = await makeDroplet(dir, { files: 5, bytes: 10_000, command: "exec sleep 100000" });
const { createHash } = await import("node:crypto");
const sha256 = createHash("sha256").update(readFileSync(tgz)).digest("hex");
const dea = await createDea({ backend: await linuxBackend(), dataDir: join(dir, "dea"), memoryBytes: 100_000 * MiB, diskBytes: 1_000_000 * MiB });

const processes = () => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1].split(" ");
    return [{ pid: Number(pid), parent: Number(fields[1]), ticks: fields.slice(11, 15).map(Number) }];
  } catch {
    return [];
  }
});
/** ms of CPU: this process, its ended children, and those that stand beside the containers. */
const cpuMs = () => {
  const all = processes();
  const sum = (ticks) => ticks.reduce((total, one) => total + one, 0) * 10;
  return sum(all.find(({ pid }) => pid === process.pid).ticks) + all.filter(({ parent }) => parent === process.pid).reduce((total, { ticks }) => total + sum(ticks), 0);
};
const resident = () => {
  globalThis.gc?.();
  return process.memoryUsage.rss();
};

try {
  const begin = async (count) => Promise.all(Array.from({ length: count }, async (_, index) => {
    const instance = await dea.start({ droplet: { path: tgz, sha256 }, index, memoryBytes: 32 * MiB, diskBytes: 16 * MiB, healthCheck: { type: "process" }, graceMs: 0 });
    await instance.ready;
  }));
  // The first one makes what all share.
  await begin(1);
  await sleep(1_000);
  const before = resident();
  await begin(options.instances - 1);
  await sleep(3_000);
  const grown = (resident() - before) / (options.instances - 1);
  const cpu = cpuMs();
  const began = performance.now();
  await sleep(options.seconds * 1_000);
  const share = (cpuMs() - cpu) / (performance.now() - began) / options.instances;
  const helpers = processes().filter(({ parent }) => parent === process.pid);
  const pss = helpers.reduce((total, { pid }) => total + Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? 0) * 1_024, 0) / options.instances;
  report({ json: options.json, title: "Instances that do nothing", tables: [{ title: `${options.instances} on the linux backend, each`, rows: [
    row({ what: `idle instance of ${options.instances}: processor`, ours: `${(share * 100).toFixed(3)} %`, target: "<= 0.2 % of a core", held: share <= 0.002 }),
    row({ what: "the same: growth of the executor's RSS", ours: `${(grown / MiB).toFixed(2)} MB`, target: "<= 1 MB", held: grown <= MiB }),
    row({ what: `the same: helpers beside it (${(helpers.length / options.instances).toFixed(1)} processes), PSS`, ours: `${(pss / MiB).toFixed(2)} MB` }),
  ] }] });
} finally {
  await dea.close({ instances: "stop" });
  rmSync(dir, { recursive: true, force: true });
}
