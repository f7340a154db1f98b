// Measures proxies in turn, round after round, so that what else the machine does meets all of them alike.
import { median, quantile, round, sorted } from "./figures.mjs";
import { cpuMicros, residentBytes } from "./usage.mjs";

/** @param how what connections and requests are like, see kit/load.mjs. Gives `{ name, rounds: [{ cpuMicros, … }], failure? }` for each proxy. */
export async function measureRounds({ proxies, load, rounds, ms, how }) {
  const measured = proxies.map(({ name }) => ({ name, rounds: [] }));
  // A round before the first, which does not count: the code of a proxy in JavaScript has to become warm.
  for (let at = -1; at < rounds; at += 1) {
    for (let step = 0; step < proxies.length; step += 1) {
      // Each round begins with another one.
      const which = (step + at + 1) % proxies.length;
      if (measured[which].failure !== undefined) continue;
      try {
        const result = await measureOnce(proxies[which], load, ms, how);
        if (at >= 0) measured[which].rounds.push(result);
      } catch (cause) {
        measured[which].failure = cause.message.split("\n")[0];
      }
      await load.close();
    }
  }
  return measured;
}

async function measureOnce({ port, part: { pid } }, load, ms, how) {
  await load.open({ port, ...how });
  await load.run(Math.min(500, ms));
  const before = cpuMicros(pid);
  const { requests, errors, ms: took, latencies } = await load.run(ms);
  const used = cpuMicros(pid) - before;
  const ordered = sorted(latencies);
  return { micros: used / requests, perSecond: requests / took * 1_000, busy: used / took / 10, p50: quantile(ordered, 0.5), p99: quantile(ordered, 0.99), memory: residentBytes(pid), errors };
}

/** One row each, cheapest first. `reference` is the name of the proxy the others are compared with, round by round. */
export function rowsOf(measured, reference) {
  const base = measured.find(({ name }) => name === reference)?.rounds ?? [];
  return measured.map(({ name, rounds, failure }) => {
    const ratios = sorted(rounds.map((one, at) => one.micros / (base[at]?.micros ?? Number.NaN)).filter((ratio) => !Number.isNaN(ratio)));
    const of = (what) => median(rounds.map((one) => one[what]));
    return {
      proxy: name, "of nginx": round(median([...ratios])), "from–to": ratios.length > 1 ? `${round(ratios[0])}–${round(ratios.at(-1))}` : undefined,
      "CPU µs/request": round(of("micros"), 1), "requests/s": round(of("perSecond"), 0), "busy %": round(of("busy"), 0), "p50 ms": round(of("p50")), "p99 ms": round(of("p99")),
      "memory MiB": round(of("memory") / 1_048_576, 0), errors: rounds.reduce((sum, { errors }) => sum + errors, 0), ...(failure === undefined ? {} : { failed: failure }),
    };
  }).sort((one, other) => (one["CPU µs/request"] ?? Infinity) - (other["CPU µs/request"] ?? Infinity));
}
