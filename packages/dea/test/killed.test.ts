import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { probeLinux } from "../src/linux/probe.ts";
import { bundle } from "./fixtures/bundle.ts";
import { temporaryFolder, writeDroplet } from "./fixtures/droplet.ts";
import { killLoop, namedServer } from "./fixtures/kill-loop.ts";
import { tracesOf } from "./fixtures/linux-traces.ts";

// OPENCF_DEA_KILLS=100 is the long form; OPENCF_DEA_SEED repeats one run's decisions.
const asked = process.env["OPENCF_DEA_KILLS"];
const times = (usual: number): number => (asked === undefined ? usual : Number(asked));
const seed = Number(process.env["OPENCF_DEA_SEED"] ?? Date.now() % 1_000_000);
const timeoutMs = 60_000 + times(10) * 30_000;
const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

let programs: Awaited<ReturnType<typeof bundle>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let droplet: string;
beforeAll(async () => {
  programs = await bundle({ victim: "test/fixtures/victim.ts" });
  folder = await temporaryFolder();
  droplet = await writeDroplet(join(folder.path, "app.tgz"), { "server.js": namedServer }, `exec "${process.execPath}" server.js`);
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const MiB = 1024 ** 2;
const spec = { memoryBytes: 128 * MiB, diskBytes: 32 * MiB, graceMs: 500 };

test.each([
  [times(10), "without a key: a start that was cut short ends as interrupted", undefined],
  [times(5), "with a key: a start that was cut short is carried out", "a key of more than sixteen bytes"],
] as const)(`faults: %i kills of an executor at any step lose no app and leave nothing (process backend, seed ${seed}), %s`, async (kills, _name, key) => {
  const dataDir = join(folder.path, `process-${key ? "key" : "plain"}`);
  const report = await killLoop({ program: programs.path("victim"), kind: "process", dataDir, droplet, kills, seed, spec, ...(key ? { key } : {}) });
  if (key) expect(report.interrupted).toBe(0);
  if (kills > 20) console.log(JSON.stringify({ backend: "process", seed, ...report }));
}, timeoutMs);

test.skipIf(!host.able)(`faults: ${times(8)} kills of an executor at any step lose no app and leave nothing (linux backend${host.able ? `, seed ${seed}` : `: this machine lacks ${lacks}`})`, async () => {
  const kills = times(8);
  const dataDir = join(folder.path, "linux");
  const report = await killLoop({ program: programs.path("victim"), kind: "linux", dataDir, droplet, kills, seed, spec });
  expect(await tracesOf((await readFile(join(dataDir, "id"), "utf8")).trim(), join(dataDir, "instances"))).toEqual([]);
  if (kills > 20) console.log(JSON.stringify({ backend: "linux", seed, ...report }));
}, timeoutMs);
