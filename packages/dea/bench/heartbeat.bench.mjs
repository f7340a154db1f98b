#!/usr/bin/env node
// Time of the event loop that one heartbeat takes, with many instances. They run nowhere: a heartbeat does not ask them.
//   npm run build -w packages/dea && node packages/dea/bench/heartbeat.bench.mjs [--instances 500] [--beats 60] [--json]
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { PassThrough } from "node:stream";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { makeDroplet, percentile, row } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { instances: 500, beats: 60, dist: "../dist" });
const { createBus, memoryTransport } = await import("../../bus/dist/index.js");
const { deaHeartbeat, healthStart } = await import("../../bus/dist/messages.js");
const { createDea, processBackend, MiB } = await import(`${options.dist}/index.js`);
const { joinBus } = await import(`${options.dist}/bus-link.js`);
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
const tgz = await makeDroplet(dir, { files: 1, bytes: 100, command: "true" });
const sha256 = createHash("sha256").update(readFileSync(tgz)).digest("hex");

/** A backend by the port whose containers are nothing but folders. */
function nowhere() {
  const real = processBackend();
  const container = ({ handle, hostPort }) => {
    const homeDir = join(dir, "home", handle);
    mkdirSync(homeDir, { recursive: true });
    let end;
    const main = { id: "main", stdout: new PassThrough(), stderr: new PassThrough(), exited: new Promise((resolve) => (end = resolve)), signal: async () => {} };
    const stop = async () => {
      main.stdout.destroy();
      main.stderr.destroy();
      end({ signal: "SIGKILL" });
    };
    return {
      handle, homeDir, homeInside: homeDir, containerPort: hostPort, record: () => ({}), attach: () => main, layHome: async () => true,
      run: async (_process, beforeStart) => (await beforeStart?.({}), main),
      info: async () => ({ handle, state: "running", ports: [], labels: {}, events: [] }),
      usage: async () => ({ memoryBytes: 1, cpuMs: 1, diskBytes: 1, diskComplete: true, processes: 1 }), stop, destroy: stop, release() {},
    };
  };
  return { ...real, open: async () => {}, list: async () => [], create: async (spec) => container(spec), sweep: async () => [], [Symbol.asyncDispose]: async () => {} };
}

try {
  const bus = await createBus({ transport: memoryTransport() });
  const dea = await createDea({ backend: nowhere(), dataDir: join(dir, "dea"), memoryBytes: 1e6 * MiB, diskBytes: 1e6 * MiB, concurrentStarts: 50, samplingMs: 3_600_000 });
  const member = await joinBus(dea, bus, { heartbeatIntervalMs: 3_600_000, advertiseIntervalMs: 3_600_000, registerIntervalMs: 3_600_000, logFlushIntervalMs: 3_600_000 });
  await Promise.all(Array.from({ length: options.instances }, async (_, index) => {
    const instance = await dea.start({ droplet: { path: tgz, sha256 }, command: "true", index, memoryBytes: 64 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 0 });
    await instance.ready;
  }));
  let told = 0;
  const hearing = bus.subscribe(deaHeartbeat, ({ body }) => (told = body.droplets.length));
  bus.publish(healthStart, {});
  await new Promise((resolve) => setTimeout(resolve, 500));
  hearing[Symbol.dispose]();
  if (told !== options.instances) throw new Error(`the heartbeat tells of ${told} instances`);
  const times = [];
  let cpu = process.cpuUsage();
  for (let beat = 0; beat < options.beats + 10; beat++) {
    const before = performance.eventLoopUtilization();
    bus.publish(healthStart, {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (beat === 9) cpu = process.cpuUsage();
    if (beat >= 10) times.push(performance.eventLoopUtilization(before).active);
  }
  const { user, system } = process.cpuUsage(cpu);
  const [p50, p95] = [percentile(times, 0.5), percentile(times, 0.95)];
  report({ json: options.json, title: "Heartbeat", tables: [{ title: `${options.instances} instances`, rows: [
    row({ what: `heartbeat with ${options.instances} instances: event loop, p50`, ours: `${p50.toFixed(2)} ms`, target: "<= 5 ms", held: p50 <= 5 }),
    row({ what: "the same, p95", ours: `${p95.toFixed(2)} ms` }),
    row({ what: "the same: processor time, which another load on the machine does not lengthen", ours: `${((user + system) / 1_000 / options.beats).toFixed(2)} ms` }),
  ] }] });
  await member.leave({ instances: "stop" });
} finally {
  rmSync(dir, { recursive: true, force: true });
}
