#!/usr/bin/env node
// How long requests take at half of what this router can do at most, beside nginx at the same rate.
//   node packages/router/bench/latency.bench.mjs [--seconds 5] [--rounds 5] [--warm 10] [--connections 64] [--engine both] [--rate N] [--no-pin] [--json]
// First the most requests a second of each engine (one after the other on each connection); then, in turn, `--rounds` times, requests at
// half that rate, evenly spread, sent when they are due whatever became of those before. A time runs from when a request was due. Before that
// everybody has `--warm` seconds at that rate. `collector on one thread`: with node --single-threaded-gc, since there is one core (see the README).
// Given are medians of the rounds, and ratios as the median of those within each round. `straight`: no proxy in between.
// `usual p99`: of the p99s of each 200 ms of a round the one in the middle; pauses of the machine, which on a busy core last the longer the
// less of it is left, fall into few of them, and so would rare pauses of the proxy itself: `p99` has them all.
// `lag p99`: how late the measuring process itself was; times below it say nothing. `--rate N`: this rate instead of half.
import { bundle } from "./kit/bundle.mjs";
import { median, round } from "./kit/figures.mjs";
import { createLoad } from "./kit/load.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";
import { engines, startOpencf } from "./proxies/opencf.mjs";
import { hasNginx, startNginx } from "./proxies/nginx.mjs";

const options = commandLine(import.meta.url, { seconds: 5, rounds: 5, warm: 10, connections: 64, engine: "both", rate: 0, pin: true });
const wanted = options.engine === "both" ? engines : engines.filter((name) => name === options.engine);
if (wanted.length === 0) {
  console.error(`--engine ${options.engine}: expected both, ${engines.join(", ")}`);
  process.exit(2);
}
const ms = options.seconds * 1_000;
const parts = await createParts({ pin: options.pin });
try {
  const meter = await parts.node(new URL("./kit/meter-process.mjs", import.meta.url));
  const backend = meter.hello.port;
  const module = await bundle(parts.folder);
  const others = [{ name: "straight", port: backend }, ...(hasNginx() ? [await startNginx({ parts, backend })] : [])];
  const load = await createLoad(parts);
  const tables = [];
  for (const engine of wanted) {
    const ours = await startOpencf({ parts, module, engine, backend });
    const most = options.rate || await maximum(load, ours.port);
    const perSecond = options.rate || Math.round(most / 2);
    const oneThread = await startOpencf({ parts, module, engine, backend, nodeArgs: ["--single-threaded-gc"] });
    const proxies = [ours, { ...oneThread, name: `${ours.name}, collector on one thread` }, ...others];
    const rounds = new Map(proxies.map(({ name }) => [name, []]));
    for (let at = -1; at < options.rounds; at += 1) {
      for (const { name, port } of proxies) {
        const one = await meter.ask({ port, perSecond, ms: at < 0 ? options.warm * 1_000 : ms, connections: options.connections });
        if (at >= 0) rounds.get(name).push(one);
      }
    }
    await Promise.all([ours.part.stop(), oneThread.part.stop()]);
    const base = rounds.get("nginx") ?? [];
    tables.push({
      title: `${perSecond} requests a second${options.rate ? "" : `, half of ${Math.round(most)}: the most of ${ours.name}`}`,
      rows: proxies.map(({ name }) => {
        const each = rounds.get(name);
        const of = (what, digits = 3) => round(median(each.map((one) => one[what])), digits);
        return {
          proxy: name, "p99 of nginx": round(median(each.map(({ p99 }, at) => base[at] && p99 / base[at].p99))), "usual p99 of nginx": round(median(each.map(({ usual99 }, at) => base[at] && usual99 / base[at].usual99))), "p50 ms": of("p50"), "usual p99 ms": of("usual99"), "p99 ms": of("p99"), "p99.9 ms": of("p999"), "most ms": of("most", 1),
          "lag p99 ms": of("lag99"), "requests/s": of("perSecond", 0), errors: each.reduce((sum, { errors }) => sum + errors, 0),
        };
      }),
      notes: hasNginx() ? [] : ["nginx is not on the PATH: no ratios."],
    });
  }
  report({ json: options.json, title: "Latency at half load", about: { connections: options.connections, seconds: options.seconds, rounds: options.rounds, pinned: parts.pinned }, tables });
} finally {
  await parts.end();
}
process.exit();

/** Requests a second with always one under way on each connection, once its code is warm. */
async function maximum(load, port) {
  await load.open({ port, connections: options.connections });
  await load.run(Math.min(2_000, ms));
  const { requests, ms: took } = await load.run(Math.min(3_000, ms));
  await load.close();
  return requests / took * 1_000;
}
