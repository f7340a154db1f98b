import { expect, test } from "vitest";
import { simulate } from "../bench/placement-sim.mjs";
import { createPlacer, place } from "../src/placement.ts";

// The world of bench/placement.mjs, smaller: hosts leave and return, apps are pushed anew, advertisements are late.
const sound = { overCapacity: 0, hostViolations: 0, zoneViolations: 0, unlikeTheRule: 0, open: 0 };

test.each([1, 2, 3])("one controller: spread as it should be, no host over capacity, nobody refuses (seed %i)", (seed) => {
  const result = simulate({ placement: { createPlacer, place }, hosts: 120, instances: 8_000, seed, leaving: 0.1, deploying: 0.1 });
  expect(result).toMatchObject({ ...sound, refused: 0, running: result.wanted });
  expect(result.lost).toBeGreaterThan(0);
  expect(result.late).toBeGreaterThan(0);
  expect(result.sampled).toBeGreaterThan(30);
});

test("three controllers that do not know of each other, hosts nearly full: what one host refuses runs elsewhere", () => {
  const result = simulate({ placement: { createPlacer, place }, hosts: 60, instances: 7_400, seed: 4, controllers: 3, leaving: 0, deploying: 0, startsPerSecond: 10_000 });
  expect(result).toMatchObject({ overCapacity: 0, unlikeTheRule: 0, open: 0, running: result.wanted });
  expect(result.refused).toBeGreaterThan(0);
});
