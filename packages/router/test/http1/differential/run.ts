import { difference } from "./compare.ts";
import { cutsOf, generate } from "./generator.ts";
import { chanceOf } from "./random.ts";
import { llhttpVersion } from "./theirs.ts";

/** What a run has found: how often each difference, with one seed that shows it. */
export interface Findings {
  readonly samples: number;
  readonly differences: Record<string, { count: number; seed: number }>;
}

/** Compares the readers on samples made from the seeds `from` to `from + samples - 1`. */
export function compareSeeds(from: number, samples: number): Findings {
  const differences: Findings["differences"] = {};
  for (let seed = from; seed < from + samples; seed += 1) {
    const found = differenceOf(seed);
    if (found === undefined) continue;
    const held = differences[found] ??= { count: 0, seed };
    held.count += 1;
  }
  return { samples, differences };
}

export function differenceOf(seed: number): string | undefined {
  const chance = chanceOf(seed);
  const sample = generate(chance);
  return difference(sample, cutsOf(chance, sample.bytes.length));
}

/** For the program: `FROM SAMPLES` as arguments, findings as JSON. */
export function main(args: readonly string[]): void {
  const [from = 0, samples = 0] = args.map(Number);
  process.stdout.write(JSON.stringify({ llhttp: llhttpVersion, ...compareSeeds(from, samples) }));
}
