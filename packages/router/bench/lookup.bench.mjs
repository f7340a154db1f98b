#!/usr/bin/env node
// Look-ups and heartbeats in tables of 10 to 1 000 000 routes, and the memory they take.
//   npm run build -w packages/router && node packages/router/bench/lookup.bench.mjs [--most 1000000] [--table FILE] [--json]
// A look-up is of a random route, by a host name that was just read from the wire: its hash is not known yet, and it is
// nobody's own string. One route in ten has a path.
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const { values } = parseArgs({ options: { most: { type: "string", default: "1000000" }, table: { type: "string", default: "../dist/index.js" }, json: { type: "boolean", default: false } } });
const { createRouteTable } = await import(values.table);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
const heapNow = () => { collect(); collect(); return process.memoryUsage().heapUsed; };
/** A string as a parser makes it: flat, its hash unknown. */
const fresh = (text) => Buffer.from(text, "latin1").latin1Slice();

const hostOf = (index) => `app-${index}.example.com`;
const pathOf = (index) => (index % 10 === 0 ? `/path-${index % 7}` : "");
const endpointOf = (index) => ({
  host: fresh(`10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`), port: 61_000 + (index % 1_000),
  app: fresh(`app-${index}`), instanceId: fresh(`i-${index}`), instanceIndex: "0", staleAfterMs: 120_000, source: "bus",
});

const rows = [];
for (const count of [10, 1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= Number(values.most))) {
  const before = heapNow();
  const table = createRouteTable();
  const filled = timed(() => { for (let index = 0; index < count; index += 1) table.register(fresh(hostOf(index) + pathOf(index)), endpointOf(index)); });
  const heap = heapNow() - before;
  table.register("*.example.com", { host: "10.0.0.1", port: 80 });

  const asked = Array.from({ length: 200_000 }, () => Math.floor(Math.random() * count));
  const known = asked.map((index) => ({ host: fresh(hostOf(index)), path: `${pathOf(index)}/deeper/still` }));
  const beats = asked.slice(0, 20_000).map((index) => ({ uri: fresh(hostOf(index) + pathOf(index)), endpoint: endpointOf(index) }));
  const wild = asked.map((index) => fresh(`new-${index}.sub.example.com`));
  const none = asked.map((index) => fresh(`new-${index}.example.org`));
  let found = 0;
  rows.push({
    routes: count,
    "register us": micros(filled, count),
    "look-up us": micros(timed(() => { for (const { host, path } of known) if (table.lookup(host, path) !== undefined) found += 1; }), known.length),
    "wildcard us": micros(timed(() => { for (const host of wild) if (table.lookup(host, "/x") !== undefined) found += 1; }), wild.length),
    "unknown us": micros(timed(() => { for (const host of none) if (table.lookup(host, "/x") !== undefined) found += 1; }), none.length),
    "heartbeat us": micros(timed(() => { for (const { uri, endpoint } of beats) table.register(uri, endpoint); }), beats.length),
    "bytes/route": Math.round(heap / count),
  });
  if (found !== known.length + wild.length) throw new Error(`found ${found} of ${known.length + wild.length}`);
}
if (values.json) console.log(JSON.stringify(rows));
else console.table(rows);

/** Seconds of CPU time: on a busy machine the clock on the wall says little. */
function timed(run) {
  const begun = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6;
}

function micros(seconds, count) {
  return Number((seconds * 1e6 / count).toFixed(3));
}
