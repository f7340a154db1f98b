#!/usr/bin/env node
// Measures the built bus against the bare `nats` client: `npm run build && node bench/bus/run.mjs`.
// Each figure is the median of rounds in which the variants take turns, each turn a process of its own: what else the machine does hits both.
// Work is processor time, so that a busy machine does not count as a slow bus; only latency is wall time.
import { parseArgs } from "node:util";
import { distOf, measure, median, startServer } from "./kit.mjs";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false }, help: { type: "boolean", default: false },
    dist: { type: "string" }, rounds: { type: "string", default: "5" }, scale: { type: "string", default: "1" }, only: { type: "string" },
  },
});
if (values.help) {
  console.log(`node bench/bus/run.mjs [--rounds 5] [--scale 1] [--only publish,request,in-process,consumer,idle] [--dist packages/bus/dist] [--json]
  --rounds  turns of each variant
  --scale   how many messages, against the usual number: 0.1 for a quick look
Exit code 0 when every figure is within its limit, 1 when one is not.`);
  process.exit(0);
}
const rounds = Number(values.rounds);
const scale = Number(values.scale);
const dist = distOf(values.dist);
const wanted = (name) => !values.only || values.only.split(",").includes(name);
const amount = (usual) => Math.max(1_000, Math.round(usual * scale));
const server = await startServer();
const common = { url: server.url, dist };
const rows = [];
const row = (name, what, value, unit, limit = {}) =>
  rows.push({ name, what, measured: Number(value.toPrecision(4)), unit, ...limit, ok: value <= (limit.atMost ?? Infinity) && value >= (limit.atLeast ?? 0) });

/** Turns of both variants, A B A B. @returns the median of each and the median of the ratios of neighbours */
async function compare(file, options, read) {
  const ours = [];
  const theirs = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(read(await measure(file, { ...common, ...options, variant: "opencf" })));
    theirs.push(read(await measure(file, { ...common, ...options, variant: "bare" })));
  }
  return { ours: median(ours), theirs: median(theirs), ratio: median(ours.map((value, round) => value / theirs[round])) };
}

try {
  if (wanted("publish")) {
    const { ours, theirs, ratio } = await compare("publish.mjs", { messages: amount(200_000) }, ({ cpuMicros }) => cpuMicros);
    row("publish", "publish and receive, typed and validated", ours, "µs CPU");
    row("publish-bare", "the same with the bare client and JSON", theirs, "µs CPU");
    row("publish-ratio", "ratio", ratio, "x", { atMost: 1.25 });
  }
  if (wanted("request")) {
    const { ours, theirs, ratio } = await compare("request.mjs", { messages: amount(10_000) }, ({ p50Micros }) => p50Micros);
    row("request", "request and reply, median", ours, "µs");
    row("request-bare", "the same with the bare client and JSON", theirs, "µs");
    row("request-ratio", "ratio", ratio, "x", { atMost: 1.15 });
  }
  if (wanted("in-process")) {
    // Nearly all of it is JSON.stringify and JSON.parse, so the size of the message decides: one of each kind.
    for (const variant of ["plain", "app"]) {
      const got = [];
      for (let round = 0; round < rounds; round++) got.push(await measure("in-process.mjs", { dist, variant, messages: amount(1_000_000) }));
      row(`in-process-${variant}`, `in-process transport, validated, ${got[0].bytes} bytes`, median(got.map(({ perCpuSecond }) => perCpuSecond)), "/s CPU", variant === "plain" ? { atLeast: 500_000 } : {});
    }
  }
  if (wanted("consumer")) {
    const { ours, theirs } = await compare("consumer.mjs", { messages: amount(400_000) }, ({ perCpuSecond }) => perCpuSecond);
    row("consumer", "router.register from another process, decoded, validated, handed over", ours, "/s CPU", { atLeast: 100_000 });
    row("consumer-bare", "the same with the bare client and JSON", theirs, "/s CPU");
  }
  if (wanted("idle"))
    for (const variant of ["memory", "nats", "bare"]) {
      const { bytes } = await measure("idle.mjs", { ...common, variant, subscriptions: 10_000 }, ["--expose-gc"]);
      row(`idle-${variant}`, `heap of an idle subscription, ${variant === "bare" ? "bare client" : variant === "memory" ? "in process" : "NATS"}`, bytes, "bytes");
    }
} finally {
  await server.stop();
}
if (values.json) console.log(JSON.stringify(rows, undefined, 2));
else console.table(rows.map(({ what, measured, unit, atMost, atLeast, ok }) => ({ what, measured: `${measured} ${unit}`, limit: atMost ? `<= ${atMost}` : atLeast ? `>= ${atLeast}` : "", ok: ok ? "yes" : "NO" })));
process.exit(rows.every(({ ok }) => ok) ? 0 : 1);
