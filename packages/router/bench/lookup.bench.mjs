#!/usr/bin/env node
// Look-ups and heartbeats per second in tables of 10 to 1 000 000 routes, and the memory they take.
//   npm run build -w packages/router && node packages/router/bench/lookup.bench.mjs [--most 1000000] [--json]
import { parseArgs } from "node:util";
import { createRouteTable } from "../dist/index.js";

const { values } = parseArgs({ options: { most: { type: "string", default: "1000000" }, json: { type: "boolean", default: false } } });
const rows = [];
for (const count of [10, 1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= Number(values.most))) {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const table = createRouteTable();
  const uri = (index) => (index % 10 === 0 ? `app-${index}.example.com/path-${index % 7}` : `app-${index}.example.com`);
  const endpoint = (index) => ({ host: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`, port: 61_000 + (index % 1_000), app: `app-${index}`, instanceId: `i-${index}`, staleAfterMs: 120_000 });
  const filled = timed(() => { for (let index = 0; index < count; index += 1) table.register(uri(index), endpoint(index)); });
  table.register("*.example.com", { host: "10.0.0.1", port: 80 });
  const heap = process.memoryUsage().heapUsed - before;
  const known = Array.from({ length: Math.min(count, 10_000) }, (_, index) => Math.floor(index * count / Math.min(count, 10_000)));
  const hosts = known.map((index) => `app-${index}.example.com`);
  const endpoints = known.map(endpoint);
  const uris = known.map(uri);
  let found = 0;
  rows.push({
    routes: count,
    "register/s": Math.round(count / filled),
    "look-up/s": perSecond((n) => { if (table.lookup(hosts[n % hosts.length], "/path-3/deeper/still")) found += 1; }),
    "wildcard/s": perSecond((n) => { if (table.lookup(`new-${n & 1023}.sub.example.com`, "/x")) found += 1; }),
    "unknown/s": perSecond((n) => { if (table.lookup(`new-${n & 1023}.example.org`, "/x")) found += 1; }),
    "heartbeat/s": perSecond((n) => table.register(uris[n % uris.length], endpoints[n % endpoints.length])),
    "bytes/route": Math.round(heap / count),
  });
  if (found === 0) throw new Error("nothing was found");
}
if (values.json) console.log(JSON.stringify(rows));
else console.table(rows);

function timed(run) {
  const begun = performance.now();
  run();
  return (performance.now() - begun) / 1_000;
}

/** Runs for a quarter of a second after a short warm-up. */
function perSecond(run) {
  for (let n = 0; n < 20_000; n += 1) run(n);
  const begun = performance.now();
  let count = 0;
  while (performance.now() - begun < 250) for (let n = 0; n < 1_000; n += 1) run(count++);
  return Math.round(count / ((performance.now() - begun) / 1_000));
}
