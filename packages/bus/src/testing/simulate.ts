import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { delays, type Fault } from "./faults.ts";
import { shrink } from "./shrink.ts";
import { createSimulation, type Simulation, type SimulationOptions } from "./simulation.ts";

export interface SimulateOptions extends SimulationOptions {
  /** Seeds to try, one after the other. Default 100, or 1 when `seed` is given. `OPENCF_RUNS` in the environment goes before it. */
  runs?: number;
  /** First seed. Default 1. `OPENCF_SEED` in the environment goes before it and replays that one seed. */
  seed?: number;
  /** What the message calls the scenario. */
  name?: string;
  /** Lines of the trace in the message. Default 40. */
  lastEvents?: number;
  /** Further runs that may be spent on finding the smallest set of faults with which it still fails. Default 200; 0: none. */
  shrinkRuns?: number;
}

export interface SimulationReport {
  readonly seeds: readonly number[];
  /** Things that happened in all runs. */
  readonly steps: number;
  /** Faults that acted in all runs. */
  readonly faults: number;
}

/** A scenario failed. `cause` is what it threw; the message says how to see it again. */
export class SimulationError extends Error {
  override readonly name = "SimulationError";
  readonly seed: number;
  /** The smallest set of faults that was found with which it still fails. With `simulate({ seed, only })` it is replayed. */
  readonly only: readonly string[];
  /** The trace of the run with that set. */
  readonly trace: string;

  constructor(message: string, { seed, only, trace, cause }: { seed: number; only: readonly string[]; trace: string; cause: unknown }) {
    super(message, { cause });
    this.seed = seed;
    this.only = only;
    this.trace = trace;
  }
}

interface Run {
  readonly failure: { readonly error: unknown } | undefined;
  readonly acted: readonly Fault[];
  readonly trace: string;
  readonly last: string;
  readonly steps: number;
}

/**
 * Runs a scenario under many seeds. In it time passes by itself whenever everybody waits; the simulation ends with it.
 * When it fails, faults are left out until as few as possible remain with which it fails in the same way.
 * @throws SimulationError
 */
export async function simulate(options: SimulateOptions, scenario: (sim: Simulation) => Promise<void> | void): Promise<SimulationReport> {
  const { name, lastEvents = 40, shrinkRuns = 200, runs: givenRuns, seed: givenSeed, only, ...rest } = options;
  const caller = callerFile();
  const replayed = numberIn("OPENCF_SEED");
  const first = replayed ?? givenSeed ?? 1;
  const runs = replayed === undefined ? numberIn("OPENCF_RUNS") ?? givenRuns ?? (givenSeed === undefined ? 100 : 1) : 1;
  const runOnce = (seed: number, kept: readonly string[] | undefined): Promise<Run> =>
    run({ ...rest, seed, ...(kept && { only: kept }) }, scenario, lastEvents);

  const seeds: number[] = [];
  let steps = 0;
  let faults = 0;
  for (let seed = first; seed < first + runs; seed++) {
    const found = await runOnce(seed, only);
    seeds.push(seed);
    steps += found.steps;
    faults += found.acted.length;
    if (!found.failure) continue;

    let smallest = found;
    const how = kindOfFailure(found.failure.error);
    const all = only ?? [...found.acted.map(({ id }) => id), delays];
    const { kept } = await shrink(all, async (candidate) => {
      const again = await runOnce(seed, candidate);
      if (!again.failure || kindOfFailure(again.failure.error) !== how) return false;
      smallest = again;
      return true;
    }, shrinkRuns);
    throw new SimulationError(describe({ name, seed, runs, seeds, found, smallest, kept, all, caller }), {
      seed, only: kept, trace: smallest.trace, cause: smallest.failure?.error,
    });
  }
  return { seeds, steps, faults };
}

async function run(options: SimulationOptions, scenario: (sim: Simulation) => Promise<void> | void, lastEvents: number): Promise<Run> {
  await using sim = createSimulation(options);
  let failure: Run["failure"];
  try {
    await sim.run(() => scenario(sim));
  } catch (error) {
    failure = { error };
  }
  return { failure, acted: [...sim.acted], trace: failure ? sim.trace.toString() : "", last: failure ? sim.trace.toString(lastEvents) : "", steps: sim.steps };
}

interface Told {
  name: string | undefined; seed: number; runs: number; seeds: readonly number[]; found: Run; smallest: Run;
  kept: readonly string[]; all: readonly string[]; caller: string | undefined;
}

function describe({ name, seed, runs, seeds, found, smallest, kept, all, caller }: Told): string {
  const told = new Map([...found.acted, ...smallest.acted].map((fault) => [fault.id, fault]));
  const lines = kept.map((id) => {
    const fault = told.get(id);
    return id === delays ? "  delay (the order of packets on different links)" : `  ${id}${fault ? `  ${fault.subject ?? ""} at ${fault.atMs.toFixed(3)} ms` : ""}`;
  });
  return [
    `${name === undefined ? "the scenario" : `scenario "${name}"`} fails with seed ${seed}${runs > 1 ? ` (run ${seeds.length} of ${runs})` : ""}: ${messageOf(smallest.failure?.error)}`,
    `replay: OPENCF_SEED=${seed} npx vitest run${caller === undefined ? "" : ` ${caller}`}`,
    `in code: simulate({ seed: ${seed}, only: ${JSON.stringify(kept)} }, …)`,
    kept.length === 0 ? "it fails without any fault" : `smallest set of faults with which it fails (${kept.length} of ${all.length}):`,
    ...lines,
    "last events:",
    smallest.last,
  ].join("\n");
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Failures count as the same when they differ in numbers only. */
function kindOfFailure(error: unknown): string {
  const { name, code } = error instanceof Error ? error as Error & { code?: unknown } : { name: typeof error, code: undefined };
  return `${name} ${String(code)} ${messageOf(error).replace(/\d+/g, "0")}`;
}

function numberIn(variable: string): number | undefined {
  const text = process.env[variable];
  if (text === undefined || text.trim() === "") return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${variable} must be a whole number, not ${JSON.stringify(text)}`);
  return value;
}

/** The test that calls, for the command that replays it. */
function callerFile(): string | undefined {
  const found = /((?:file:\/\/)?\/[^\s()]+?\.(?:test|spec)\.[cm]?[jt]sx?)/.exec(new Error().stack ?? "")?.[1];
  return found && relative(process.cwd(), found.startsWith("file:") ? fileURLToPath(found) : found);
}
