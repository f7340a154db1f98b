#!/usr/bin/env node
// Look-ups and heartbeats in tables of 10 to 1 000 000 routes, and the memory they take.
//   npm run build -w packages/router && node packages/router/bench/lookup.bench.mjs [--most 1000000] [--table FILE] [--json]
// A look-up is of a random route, by a host name that was just read from the wire: its hash is not known yet, it is nobody's own
// string, and it is still in the cache, as what was just parsed is; the table is not. One route in ten has a path.
// Given is the median of small batches, so that others on the machine count less.
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const { values } = parseArgs({ options: { most: { type: "string", default: "1000000" }, table: { type: "string", default: "../dist/index.js" }, json: { type: "boolean", default: false } } });
const { createRouteTable } = await import(values.table);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
/** What typed arrays hold outside the heap included. */
const heapNow = () => { collect(); collect(); const { heapUsed, external } = process.memoryUsage(); return heapUsed + external; };
const batch = 500;
const batches = 400;
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

  const random = () => Math.floor(Math.random() * count);
  let found = 0;
  const seek = ({ host, path }) => { if (table.lookup(host, path) !== undefined) found += 1; };
  const beat = ({ uri, endpoint }) => table.register(uri, endpoint);
  const request = (name, path = "/x") => ({ host: fresh(name), path: fresh(path) });
  rows.push({
    routes: count,
    "register us": micros(filled, count),
    "look-up us": medianOf(() => { const index = random(); return request(hostOf(index), `${pathOf(index)}/deeper/still`); }, seek),
    "wildcard us": medianOf(() => request(`new-${random()}.sub.example.com`), seek),
    "heartbeat us": medianOf(() => { const index = random(); return { uri: fresh(hostOf(index) + pathOf(index)), endpoint: endpointOf(index) }; }, beat),
    "bytes/route": Math.round(heap / count),
  });
  const seen = found;
  rows.at(-1)["unknown us"] = medianOf(() => request(`new-${random()}.example.org`), seek);
  if (seen !== 2 * batches * batch || found !== seen) throw new Error(`found ${found} of ${2 * batches * batch}`);
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

/** Microseconds of one `act` on things made just before. */
function medianOf(make, act) {
  const each = [];
  for (let n = 0; n < batches; n += 1) {
    const things = Array.from({ length: batch }, make);
    const begun = performance.now();
    for (const thing of things) act(thing);
    each.push((performance.now() - begun) * 1_000 / batch);
  }
  return Number(each.sort((one, other) => one - other)[batches / 2].toFixed(3));
}

function micros(seconds, count) {
  return Number((seconds * 1e6 / count).toFixed(3));
}
