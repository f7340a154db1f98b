/** What one run of the simulated world counted. */
export interface SimulationResult {
  decisions: number;
  refused: number;
  gone: number;
  advertisements: number;
  late: number;
  retries: number;
  lost: number;
  overCapacity: number;
  hostViolations: number;
  zoneViolations: number;
  unlikeTheRule: number;
  sampled: number;
  running: number;
  wanted: number;
  open: number;
  used: { shared: Record<"min" | "p10" | "p50" | "p90" | "max", number>; gold: Record<"min" | "p10" | "p50" | "p90" | "max", number> };
  decisionsPerSecond: number;
  microsPerAdvertisement: number;
  virtualSeconds: number;
}

export function simulate(options: {
  placement: Pick<typeof import("../src/placement.ts"), "createPlacer" | "place">;
  hosts?: number;
  instances?: number;
  zones?: number;
  seed?: number;
  controllers?: number;
  leaving?: number;
  deploying?: number;
  startsPerSecond?: number;
  samples?: number;
}): SimulationResult;
