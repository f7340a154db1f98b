#!/usr/bin/env node
// Starts of instances on the `linux` backend from a cached droplet of 16 MB, beside bare `runc run` of the same root. Needs root.
//   npm run build -w packages/dea && node packages/dea/bench/start.bench.mjs [--starts 20] [--burst 50] [--droplet 16] [--json]
// One start is timed from the message on the bus to the first word of the app's process; a bare run from its spawning to the same word. They take turns.
// The burst is so many starts at once, beside so many bare runs and `tar xzf` one after the other.
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { createBus, memoryTransport } from "../../bus/dist/index.js";
import { deaStartInstance } from "../../bus/dist/messages.js";
import { bareRun, makeBundle, makeDroplet, percentile, row, timed } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { starts: 20, burst: 50, droplet: 16, runtime: "", dist: "../dist" });
const { createDea, linuxBackend, MiB } = await import(`${options.dist}/index.js`);
const { joinBus } = await import(`${options.dist}/bus-link.js`);
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
const tgz = await makeDroplet(dir, { files: 1_500, bytes: options.droplet * 2.55 * MiB, command: "echo up; exec sleep 1000" });
const sha256 = createHash("sha256").update(readFileSync(tgz)).digest("hex");
const bundle = join(dir, "bundle");
mkdirSync(bundle);
await makeBundle(bundle, ["/bin/sh", "-c", "echo up; exec sleep 1000"]);
const server = createServer((_, response) => createReadStream(tgz).pipe(response)).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));

const bus = await createBus({ transport: memoryTransport() });
const dea = await createDea({ backend: await linuxBackend(options.runtime ? { runtime: options.runtime } : {}), dataDir: join(dir, "dea"), memoryBytes: 100_000 * MiB, diskBytes: 1_000_000 * MiB });
const member = await joinBus(dea, bus);

let index = 0;
const waiting = new Map();
dea.on((change) => {
  if (change.type === "log" && change.line.text === "up") waiting.get(change.instance.spec.index)?.resolve(performance.now());
  if (change.type === "exit") waiting.get(change.instance.spec.index)?.reject(new Error(`${change.instance.exit.reason}: ${change.instance.exit.description} ${change.instance.exit.logTail}`));
});
async function start() {
  const at = index++;
  const up = new Promise((resolve, reject) => waiting.set(at, { resolve, reject }));
  const began = performance.now();
  bus.publish(deaStartInstance, {
    droplet: "bench", name: "bench", index: at, version: "1", uris: [], env: [], services: [], limits: { mem: 64, disk: 256, fds: 256 }, sha256,
    executableUri: `http://127.0.0.1:${server.address().port}/droplet.tgz`, health_check_type: "none", cc_partition: "default",
  }, { params: { id: member.id } });
  const ms = (await up) - began;
  waiting.delete(at);
  return ms;
}
const clear = () => Promise.all(dea.instances().map((instance) => instance.stop({ graceMs: 0 })));

try {
  await start();
  await bareRun(bundle);
  await clear();
  const ours = [];
  const bare = [];
  for (let round = 0; round < options.starts; round++) {
    bare.push(await bareRun(bundle));
    ours.push(await start());
    await clear();
  }
  const compared = (what, share, limit) => {
    const [a, b] = [percentile(ours, share), percentile(bare, share)];
    return row({ what, ours: `${a.toFixed(0)} ms`, peer: `runc run: ${b.toFixed(0)} ms`, ratio: (a / b).toFixed(2), target: `<= ${limit}x`, held: a / b <= limit });
  };
  const rows = [compared("start from a cached droplet, p50", 0.5, 5), compared("the same, p95", 0.95, 8)];
  const sequence = async (count) => {
    let ms = 0;
    for (let at = 0; at < count; at++) {
      ms += await bareRun(bundle);
      const to = join(dir, "unpacked");
      mkdirSync(to);
      ms += (await timed("tar", ["-xzf", tgz, "-C", to])).ms;
      rmSync(to, { recursive: true });
    }
    return ms;
  };
  if (options.burst > 0) {
    let theirs = await sequence(Math.ceil(options.burst / 2));
    const began = performance.now();
    await Promise.all(Array.from({ length: options.burst }, start));
    const total = performance.now() - began;
    await clear();
    theirs += await sequence(Math.floor(options.burst / 2));
    rows.push(row({ what: `${options.burst} starts at once`, ours: `${total.toFixed(0)} ms`, peer: `runc run + tar xzf, each in turn: ${theirs.toFixed(0)} ms`, ratio: (total / theirs).toFixed(2), target: "<= 1.3x", held: total / theirs <= 1.3 }));
  }
  report({ json: options.json, title: "Starts of instances", tables: [{ title: "linux backend, beside the bare runtime", rows }] });
} finally {
  await member.leave({ instances: "stop" });
  await bus[Symbol.asyncDispose]?.();
  server.close();
  rmSync(dir, { recursive: true, force: true });
}
