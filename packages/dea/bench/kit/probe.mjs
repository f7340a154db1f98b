// A child process that asks an app at a steady rate, whatever the parent is busy with, and tells how long answers took.
import { Agent, get } from "node:http";
import { percentile } from "./machine.mjs";

const [, , port, rate] = process.argv;
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
let times = [];
let failed = 0;
const everyMs = 1_000 / Number(rate);
let due = performance.now();
setInterval(() => {
  // Requests are due by the clock: one that is late because we were not let run counts as late.
  for (const now = performance.now(); due <= now; due += everyMs) {
    const from = due;
    get({ host: "127.0.0.1", port, agent, timeout: 2_000 }, (answer) => {
      answer.resume();
      answer.once("end", () => times.push(performance.now() - from));
    }).once("error", () => (failed += 1));
  }
}, 1);
process.on("message", (word) => {
  if (word === "stop") process.exit(0);
  if (word === "tell") process.send({ p50: percentile(times, 0.5), p99: percentile(times, 0.99), max: Math.max(...times), count: times.length, failed });
  times = [];
  failed = 0;
});
process.on("disconnect", () => process.exit(0));
