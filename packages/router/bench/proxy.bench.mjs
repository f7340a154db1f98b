#!/usr/bin/env node
// What a proxied request costs: this router with both engines beside nginx, haproxy, gorouter and the proxies from npm, in one run.
//   node packages/router/bench/proxy.bench.mjs [--seconds 2] [--rounds 5] [--connections 64] [--requests both] [--tls] [--only native,nginx] [--loads N] [--no-pin] [--json]
//   GOROUTER=/path/to/gorouter PEERS=/tmp/peers node packages/router/bench/proxy.bench.mjs     (for PEERS see bench/proxies/peers.mjs)
// All proxies are started first and measured in turn, `--rounds` times; a ratio is the median of the ratios within each round.
// Access logs go to the folder for temporary files, a gigabyte or two in a full run, and leave with it.
// `--requests same`: always the same request and answer. `different`: no two alike (targets, cookies, headers, ETags, lengths), so that
// nothing that is remembered helps; each answer is checked to be the one for its request. `--tls`: TLS 1.3 in front, one suite, connections kept.
// Each proxy has one thread and an access log (those from npm: none), and a core for itself where `taskset` is there (`--no-pin`: not).
// Read `of nginx` first: processor time per request. `busy` says how much of a core the proxy had to do; where it is far below 100 %,
// the load was the bottleneck, requests a second say nothing about the proxy, and it did its work in smaller pieces than it could have.
import { readFile } from "node:fs/promises";
import { bundle } from "./kit/bundle.mjs";
import { makeCertificate } from "./kit/certificate.mjs";
import { createLoad, defaultLoads } from "./kit/load.mjs";
import { host } from "./kit/messages.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";
import { measureRounds, rowsOf } from "./kit/rounds.mjs";
import { startAll } from "./proxies/all.mjs";

const options = commandLine(import.meta.url, { seconds: 2, rounds: 5, connections: 64, requests: "both", tls: false, only: "", loads: defaultLoads, pin: true });
const sets = { both: [false, true], same: [false], different: [true] }[options.requests];
if (sets === undefined) {
  console.error(`--requests ${options.requests}: expected same, different or both`);
  process.exit(2);
}

const parts = await createParts({ pin: options.pin });
try {
  const backend = (await parts.node(new URL("./kit/backend-process.mjs", import.meta.url))).hello.port;
  const certificate = options.tls ? await makeCertificate(parts.folder, host) : undefined;
  const ca = certificate === undefined ? undefined : await readFile(certificate.cert, "utf8");
  const { proxies, notes } = await startAll({ parts, backend, certificate, module: await bundle(parts.folder), only: options.only });
  const load = await createLoad(parts, options.loads);
  const tables = [];
  for (const different of sets) {
    const measured = await measureRounds({ proxies, load, rounds: options.rounds, ms: options.seconds * 1_000, how: { connections: options.connections, ca, different } });
    tables.push({ title: `${different ? "No two requests and answers alike" : "The same request and answer each time"}${options.tls ? ", TLS in front" : ""}`, rows: rowsOf(measured, "nginx"), notes: different === sets.at(-1) ? notes : [] });
  }
  report({ json: options.json, title: "Proxied requests", about: { connections: options.connections, seconds: options.seconds, rounds: options.rounds, loads: options.loads, pinned: parts.pinned }, tables });
} finally {
  await parts.end();
}
process.exit();
