#!/usr/bin/env node
// Lines an app prints as fast as it can: how many get through the executor to a listener, and how long the app had to wait for its pipe. Beside it: the same program into `cat`.
//   npm run build -w packages/dea && node packages/dea/bench/logs.bench.mjs [--mib 256] [--line 120] [--backend linux] [--json]
// A wait is one write of 4 KiB that took longer than it should. The same share of the processor is missing to both, so the waits stand beside those of the peer.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, report } from "../../router/bench/kit/report.mjs";
import { row, run } from "./kit/machine.mjs";

const options = commandLine(import.meta.url, { mib: 256, line: 120, backend: process.getuid?.() === 0 ? "linux" : "process", dist: "../dist" });
const { createDea, linuxBackend, processBackend, MiB } = await import(`${options.dist}/index.js`);
const dir = mkdtempSync(join(tmpdir(), "opencf-bench-"));
const writer = `
const fs = require("node:fs");
const line = "x".repeat(${options.line - 1}) + "\\n";
const chunk = Buffer.from(line.repeat(Math.ceil(4096 / line.length)));
const total = ${options.mib} * 1024 ** 2;
const waits = [];
const began = process.hrtime.bigint();
for (let sent = 0; sent < total; sent += chunk.length) {
  const at = process.hrtime.bigint();
  for (let done = 0; done < chunk.length; ) { try { done += fs.writeSync(1, chunk, done); } catch (error) { if (error.code !== "EAGAIN") throw error; } }
  waits.push(Number(process.hrtime.bigint() - at) / 1e6);
}
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
waits.sort((a, b) => a - b);
console.error("RESULT " + JSON.stringify({ rate: total / seconds / 1024 ** 2, most: waits.at(-1), p999: waits[Math.floor(waits.length * 0.999)], over: waits.filter((ms) => ms > 10).length, all: waits.length }));
setTimeout(() => {}, 1e8);`;

async function peer() {
  const program = join(dir, "writer.cjs");
  writeFileSync(program, writer);
  const child = spawn("/bin/sh", ["-c", `"${process.execPath}" "${program}" | cat >/dev/null`], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  const result = await new Promise((resolve) => {
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (piece) => /RESULT (.*)\n/.test((text += piece)) && resolve(JSON.parse(/RESULT (.*)\n/.exec(text)[1])));
  });
  process.kill(-child.pid, "SIGKILL");
  return result;
}

async function ours() {
  const content = join(dir, "content");
  mkdirSync(join(content, "app"), { recursive: true });
  writeFileSync(join(content, "app/writer.cjs"), writer);
  writeFileSync(join(content, "staging_info.yml"), `start_command: exec '${process.execPath}' writer.cjs\n`);
  await run("tar", ["-czf", join(dir, "app.tgz"), "-C", content, "."]);
  const dea = await createDea({ backend: options.backend === "linux" ? await linuxBackend() : processBackend(), memoryBytes: 8_192 * MiB, logLinesPerSecond: Infinity });
  try {
    let bytes = 0;
    let lines = 0;
    const result = new Promise((resolve, reject) => dea.on((change) => {
      if (change.type === "exit") reject(new Error(`${change.instance.exit.reason}: ${change.instance.exit.logTail.join("\n")}`));
      if (change.type !== "log") return;
      const { stream, text } = change.line;
      if (stream === "stdout") {
        bytes += text.length + 1;
        lines += 1;
      } else if (text.startsWith("RESULT ")) resolve(JSON.parse(text.slice(7)));
    }));
    const cpu = process.cpuUsage();
    await dea.start({ droplet: join(dir, "app.tgz"), memoryBytes: 512 * MiB, diskBytes: 64 * MiB, healthCheck: { type: "process" }, graceMs: 0 });
    const app = await result;
    const { user, system } = process.cpuUsage(cpu);
    return { ...app, delivered: bytes / 1024 ** 2, lines, perCpuSecond: options.mib / ((user + system) / 1e6) };
  } finally {
    await dea.close({ instances: "stop" });
  }
}

try {
  const cat = await peer();
  const pump = await ours();
  const share = (of) => `${of.most.toFixed(1)} ms, ${of.over} of ${of.all} over 10 ms`;
  report({ json: options.json, title: "Log throughput", tables: [{ title: `one instance, ${options.backend} backend, lines of ${options.line} bytes`, rows: [
    row({ what: "log throughput of one instance, through the pump", ours: `${pump.rate.toFixed(0)} MB/s`, peer: `cat: ${cat.rate.toFixed(0)} MB/s`, ratio: (pump.rate / cat.rate).toFixed(2), target: ">= 50 MB/s", held: pump.rate >= 50 }),
    row({ what: "the same, in a second of the executor's processor time", ours: `${pump.perCpuSecond.toFixed(0)} MB` }),
    row({ what: "longest wait of the app for its pipe", ours: share(pump), peer: share(cat), ratio: (pump.most / cat.most).toFixed(2), target: "<= 10 ms", held: pump.most <= 10 }),
  ], notes: [`${pump.delivered.toFixed(0)} of ${options.mib} MB reached the listener`] }] });
} finally {
  rmSync(dir, { recursive: true, force: true });
}
