#!/usr/bin/env node
// Attackers on the `linux` backend, one by one, and what a neighbour app and this machine notice of them. Needs root.
//   npm run build -w packages/dea && node packages/dea/bench/attackers.mjs [--seconds 3] [--rate 200] [--only NAME] [--runtime runc|crun] [--json]
// A neighbour answers `rate` requests a second, from another process that keeps its own time. Each row: two seconds before the attack, then the attack.
// "busy" is the share of all cores that were at work; "executor" the longest of a hundred waits of its event loop.
import { createHash } from "node:crypto";
import { fork } from "node:child_process";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { createDea, linuxBackend, MiB } from "../dist/index.js";
import { attacks } from "./kit/attacks.mjs";
import { evilDroplets } from "./kit/evil-droplets.mjs";
import { run, sleep } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { seconds: 3, rate: 200, only: "", runtime: "" });
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
mkdirSync(join(dir, "content/app"), { recursive: true });
writeFileSync(join(dir, "content/app/server.js"), `require("http").createServer((q, r) => r.end("here")).listen(process.env.PORT)`);
await run("tar", ["-czf", join(dir, "droplet.tgz"), "-C", join(dir, "content"), "."]);
const droplet = join(dir, "droplet.tgz");

const dea = await createDea({ backend: await linuxBackend(options.runtime ? { runtime: options.runtime } : {}), dataDir: join(dir, "dea"), memoryBytes: 8_192 * MiB, portRestMs: 0 });
const usual = { droplet, memoryBytes: 128 * MiB, diskBytes: 256 * MiB };
const neighbour = await dea.start({ ...usual, command: `exec ${process.execPath} server.js` });
await neighbour.ready;
const probe = fork(fileURLToPath(new URL("kit/probe.mjs", import.meta.url)), [String(neighbour.address.port), String(options.rate)], { detached: true });
const tell = () => new Promise((resolve) => {
  probe.once("message", resolve);
  probe.send("tell");
});

// What attackers would like to reach: a service of the executor's machine, the neighbour, the metadata address.
const service = createServer((_, response) => response.end("executor")).listen(0, "0.0.0.0");
await new Promise((resolve) => service.once("listening", resolve));
const own = Object.values(networkInterfaces()).flat().find((one) => one.family === "IPv4" && !one.internal)?.address;
const slots = Array.from({ length: 4 }, (_, number) => [`10.254.0.${number * 4 + 1}`, `10.254.0.${number * 4 + 2}`]).flat();
const targets = [
  ...[own, ...slots].filter(Boolean).map((address) => [address, service.address().port]), ...slots.filter((_, at) => at % 2 === 1).map((address) => [address, 8_080]),
  ...(own ? [[own, neighbour.address.port]] : []), ["169.254.169.254", 80], ["127.0.0.1", service.address().port],
];

const times = () => {
  const [, ...numbers] = readFileSync("/proc/stat", "latin1").split("\n")[0].split(/\s+/).map(Number);
  const total = numbers.slice(0, 8).reduce((sum, one) => sum + one, 0);
  return { total, idle: numbers[3] + numbers[4] };
};
const ms = (value) => (value < 10 ? value.toFixed(1) : String(Math.round(value)));

/** Watches machine, executor and neighbour while something goes on. */
async function watch(what) {
  await tell();
  const from = times();
  const loop = monitorEventLoopDelay({ resolution: 5 });
  loop.enable();
  const result = await what();
  loop.disable();
  const to = times();
  const busy = 1 - (to.idle - from.idle) / (to.total - from.total);
  return { ...(await tell()), busy, loopMs: loop.percentile(99) / 1e6, result };
}

let lines = 0;
let dropped = 0;
dea.on((change) => {
  if (change.type !== "log" || change.instance === neighbour) return;
  lines += 1;
  dropped += Number(/^(\d+) log lines/.exec(change.line.text)?.[1] ?? 0);
});

const rows = [];
let allHeld = true;
const add = (name, quiet, during, { held, text }) => {
  allHeld &&= held;
  rows.push({
    attack: name, "what happened": `${held ? "" : "NOT HELD: "}${text}`, "busy %, before": Math.round(quiet.busy * 100), "busy %": Math.round(during.busy * 100), "executor p99 ms": ms(during.loopMs),
    "neighbour p99 ms, before": ms(quiet.p99), "during": ms(during.p99), ratio: (during.p99 / quiet.p99).toFixed(1), failed: during.failed,
  });
};
try {
  await sleep(1_000);
  for (const attack of attacks.filter(({ name }) => name.includes(options.only))) {
    const command = typeof attack.command === "function" ? attack.command({ targets }) : attack.command;
    const quiet = await watch(() => sleep(2_000));
    lines = dropped = 0;
    let instance;
    const during = await watch(async () => {
      instance = await dea.start({ ...usual, command, healthCheck: { type: "process" }, graceMs: 200, ...attack.start });
      await instance.ready.catch(() => {});
      await sleep(options.seconds * 1_000);
    });
    const outcome = await attack.outcome(instance, { lines, dropped, seconds: options.seconds });
    await instance.stop({ graceMs: 200 });
    add(attack.name, quiet, during, outcome);
  }
  // Droplets that are not what they say: nothing of them runs.
  for (const evil of (await evilDroplets(dir)).filter(({ name }) => name.includes(options.only))) {
    const quiet = await watch(() => sleep(500));
    let exit;
    const during = await watch(async () => {
      const instance = await dea.start({ ...usual, droplet: evil.droplet, command: "sleep 1000", healthCheck: { type: "process" } });
      await instance.ready.catch(() => {});
      exit = instance.exit ?? (await instance.stop());
      await sleep(500);
    });
    add(evil.name, quiet, during, { held: evil.held(exit), text: `${exit.reason}: ${exit.description}`.slice(0, 110) });
  }
} finally {
  probe.send("stop");
  service.close();
  await dea.close();
  rmSync(dir, { recursive: true, force: true });
}
const before = rows.map((row) => row["busy %, before"]).sort((a, b) => a - b)[Math.floor(rows.length / 2)];
const noise = before > 50 ? [`The machine was ${before} % busy with other things before the attacks: what the neighbour noticed says little.`] : [];
const worst = Math.max(...rows.map(({ ratio }) => Number(ratio)));
report({
  json: options.json, title: "Attackers on the linux backend", about: { backend: "linux", runtime: options.runtime || "the first found" },
  tables: [{ title: `${options.seconds} s each, neighbour asked ${options.rate} times a second`, rows, notes: [`Worst ratio of a neighbour's p99: ${worst}. ${allHeld ? "Everything was held." : "SOMETHING WAS NOT HELD."}`, ...noise] }],
});
process.exitCode = allHeld ? 0 : 1;
