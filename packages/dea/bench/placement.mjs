#!/usr/bin/env node
// The placer in a world of 1 000 hosts and 100 000 instances: hosts leave and return, apps are pushed anew, advertisements are late.
//   npm run build -w packages/dea && node packages/dea/bench/placement.mjs [--hosts N] [--instances N] [--controllers N] [--seed N] [--json]
// One core, virtual time; times are CPU times. Given: how even the hosts are used, how often an app was spread worse than it could be (must be none),
// decisions a second. Ends with 1 where something is not as it must be.
import { parseArgs } from "node:util";
import { simulate } from "./placement-sim.mjs";

const { values } = parseArgs({ options: {
  hosts: { type: "string", default: "1000" }, instances: { type: "string", default: "100000" }, controllers: { type: "string", default: "1" },
  seed: { type: "string", default: "1" }, library: { type: "string", default: "../dist/placement.js" }, json: { type: "boolean", default: false },
} });
const [hosts, instances, controllers, seed] = [values.hosts, values.instances, values.controllers, values.seed].map(Number);
const begun = process.cpuUsage();
const result = simulate({ placement: await import(values.library), hosts, instances, controllers, seed });
const { user, system } = process.cpuUsage(begun);
const seconds = (user + system) / 1_000_000;
const rows = [
  ["instances that run, of those wanted", `${result.running} of ${result.wanted}`, result.running === result.wanted],
  ["apps spread over zones by more than one", result.zoneViolations, result.zoneViolations === 0],
  ["two of an app on a host beside one with none", result.hostViolations, result.hostViolations === 0],
  ["hosts over capacity", result.overCapacity, result.overCapacity === 0],
  [`decisions unlike the plain rule, of ${result.sampled} compared`, result.unlikeTheRule, result.unlikeTheRule === 0],
  ["refused for lack of room, gone elsewhere", result.refused, controllers > 1 || result.refused === 0],
  ["sent to a host that was gone, gone elsewhere", result.gone, true],
  ["instances lost with their host and placed anew", result.lost, true],
  ["no room anywhere, asked again", result.retries, true],
  ["advertisements and answers that came late", result.late, true],
  ["promises still open at the end", result.open, result.open === 0],
  ["memory used where nobody left, % (min p10 p50 p90 max)", Object.values(result.used.shared).join("  "), true],
  ["the same in the isolation segment", Object.values(result.used.gold).join("  "), true],
  ["decisions", result.decisions, true],
  ["decisions a second", result.decisionsPerSecond, true],
  ["us per advertisement", result.microsPerAdvertisement, true],
  [`seconds of CPU in all, for ${result.virtualSeconds} of the world`, seconds.toFixed(1), seconds <= 10],
];
if (values.json) console.log(JSON.stringify({ ...result, seconds }));
else console.table(rows.map(([what, measured, ok]) => ({ what, measured, ok: ok ? "yes" : "NO" })));
process.exitCode = rows.every(([, , ok]) => ok) ? 0 : 1;
