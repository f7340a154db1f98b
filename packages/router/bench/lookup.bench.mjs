#!/usr/bin/env node
// Look-ups and heartbeats in tables of 10 to 1 000 000 routes, and the memory they take.
//   node packages/router/bench/lookup.bench.mjs [--most 1000000] [--table FILE] [--json]
// A look-up is of a random route, by a host name that was just read from the wire: its hash is not known yet, it is nobody's own
// string, and it is still in the cache, as what was just parsed is; the table is not. One route in ten has a path. Each route has one endpoint.
// Given is the median of small batches, so that others on the machine count less. `--table`: another build of the router to measure.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { bundle } from "./kit/bundle.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";

const options = commandLine(import.meta.url, { most: 1_000_000, table: "" });
const parts = await createParts({ pin: false });
const { createRouteTable } = await import(options.table === "" ? await bundle(parts.folder) : pathToFileURL(resolve(options.table)).href);
await parts.end();
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
for (const count of [10, 1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= options.most)) {
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
    "register µs": micros(filled, count),
    "look-up µs": medianOf(() => { const index = random(); return request(hostOf(index), `${pathOf(index)}/deeper/still`); }, seek),
    "wildcard µs": medianOf(() => request(`new-${random()}.sub.example.com`), seek),
    "heartbeat µs": medianOf(() => { const index = random(); return { uri: fresh(hostOf(index) + pathOf(index)), endpoint: endpointOf(index) }; }, beat),
    "bytes/route": Math.round(heap / count),
  });
  const seen = found;
  rows.at(-1)["unknown µs"] = medianOf(() => request(`new-${random()}.example.org`), seek);
  if (seen !== 2 * batches * batch || found !== seen) throw new Error(`found ${found} of ${2 * batches * batch}`);
}
report({ json: options.json, title: "The table", tables: [{ title: "One endpoint per route; microseconds of one operation", rows }] });

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
