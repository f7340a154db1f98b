import { expect, test } from "vitest";
import { statusOfWorker } from "../src/cli/worker-ports.ts";

const portsOf = (status: Parameters<typeof statusOfWorker>[0], workers: number, traffic: number[], tcpPorts?: string): (number | undefined)[][] =>
  Array.from({ length: workers }, (_, at) => statusOfWorker(status, at + 1, { workers, traffic, tcpPorts })).map((one) => [one?.port, one?.tls?.port, one?.insidePort, one?.metrics?.port].filter((port) => port !== undefined));

test("status ports count up; where one would meet another port, by tens: with a gorouter's own numbers they would at once", () => {
  expect(portsOf({ port: 9_000 }, 3, [8_080])).toEqual([[9_000], [9_001], [9_002]]);
  expect(portsOf({ port: 8_080, insidePort: 8_082 }, 3, [8_081])).toEqual([[8_080, 8_082], [8_090, 8_092], [8_100, 8_102]]);
  expect(portsOf({ port: 8_079 }, 2, [8_080])).toEqual([[8_079], [8_089]]);
  expect(portsOf({ port: 9_000 }, 2, [80], "9001-9010")).toEqual([[9_000], [9_100]]);
  expect(portsOf({ port: 8_080, tls: { port: 8_443, cert: "", key: "" }, insidePort: 8_082, metrics: { port: 9_090 } }, 2, [80, 443])).toEqual([[8_080, 8_443, 8_082, 9_090], [8_081, 8_444, 8_083, 9_091]]);
  expect(portsOf({ port: 0 }, 3, [8_080])).toEqual([[0], [0], [0]]);
  expect(statusOfWorker(undefined, 2, { workers: 2, traffic: [] })).toBeUndefined();
});

test("sixteen workers with a gorouter's ports share none", () => {
  const all = portsOf({ port: 8_080, insidePort: 8_082 }, 16, [8_081]).flat();
  expect(new Set([...all, 8_081]).size).toBe(all.length + 1);
});
