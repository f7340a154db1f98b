import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diegoBackoff, restartDelayMs } from "../../health/backoff.ts";
import { type DesiredApp, emptyMemory, reconcile, type SeenInstance } from "../../health/reconcile.ts";

const app = (over: Partial<DesiredApp> = {}): DesiredApp => ({ droplet: "a", version: "1", instances: 1, updatedAtMs: 0, ...over });
const seen = (over: Partial<SeenInstance> = {}): SeenInstance => ({ droplet: "a", version: "1", instance: "i", index: 0, state: "RUNNING", sinceMs: 0, ...over });
const nowMs = 1_000_000;
const brief = (nudges: ReturnType<typeof reconcile>) => nudges.map((nudge) => `${nudge.type} ${nudge.index} ${nudge.why}`);

describe("the difference", () => {
  test.each<[string, DesiredApp[], SeenInstance[], string[]]>([
    ["nothing desired, nothing there", [], [], []],
    ["as it should be", [app()], [seen()], []],
    ["missing", [app({ instances: 2 })], [seen()], ["start 1 missing"]],
    ["starting counts", [app()], [seen({ state: "STARTING" })], []],
    ["a young app is left to the controller", [app({ updatedAtMs: nowMs - 1_000 })], [], []],
    ["an index too many", [app()], [seen(), seen({ index: 1, instance: "j" })], ["stop 1 extra"]],
    ["an app that nobody wants", [], [seen()], ["stop 0 extra"]],
    ["a crashed instance of an unwanted app is left", [], [seen({ state: "CRASHED" })], []],
    ["an old version is stopped, the new one started", [app({ version: "2" })], [seen()], ["start 0 missing", "stop 0 extra"]],
    ["crashed for the first time: at once", [app()], [seen({ state: "CRASHED", sinceMs: nowMs - 10 })], ["start 0 crashed"]],
    ["stopping is as good as gone", [app()], [seen({ state: "STOPPING" })], ["start 0 missing"]],
  ])("%s", (_, desired, actual, expected) => expect(brief(reconcile(desired, actual, emptyMemory(), { nowMs }))).toEqual(expected));

  test("a nudge is not repeated while it may still be under way, and is after that", () => {
    const memory = emptyMemory();
    expect(reconcile([app()], [], memory, { nowMs })).toHaveLength(1);
    expect(reconcile([app()], [], memory, { nowMs: nowMs + 2_000 })).toHaveLength(0);
    expect(reconcile([app()], [], memory, { nowMs: nowMs + 30_000 })).toHaveLength(1);
  });

  test("once it has been seen alive, losing it again is answered at once", () => {
    const memory = emptyMemory();
    reconcile([app()], [], memory, { nowMs });
    reconcile([app()], [seen()], memory, { nowMs: nowMs + 2_000 });
    expect(reconcile([app()], [], memory, { nowMs: nowMs + 4_000 })).toHaveLength(1);
  });

  test("of two at one index the older running one stays, and only after a while", () => {
    const memory = emptyMemory();
    const two = [seen({ instance: "old", sinceMs: 1 }), seen({ instance: "new", sinceMs: 2 })];
    expect(reconcile([app()], two, memory, { nowMs })).toEqual([]);
    expect(reconcile([app()], two, memory, { nowMs: nowMs + 31_000 })).toMatchObject([{ type: "stop", instance: "new", why: "duplicate" }]);
  });
});

describe("back-off", () => {
  test.each([[0, 0], [1, 0], [2, 0], [3, 30_000], [4, 60_000], [7, 480_000], [8, 960_000], [199, 960_000], [200, Infinity]])(
    "after %i crashes: %i ms", (count, ms) => expect(restartDelayMs(count)).toBe(ms));
  test("never shrinks as crashes add up", () =>
    fc.assert(fc.property(fc.nat(300), (count) => restartDelayMs(count + 1) >= restartDelayMs(count))));

  /** An app that dies the moment it starts: when is it started again? */
  const simulate = (aliveMs: number, untilMs: number): number[] => {
    const memory = emptyMemory();
    const starts: number[] = [];
    let instance = seen({ instance: "0", state: "CRASHED", sinceMs: 0 });
    for (let at = 0; at <= untilMs; at += 1_000) {
      if (instance.state === "RUNNING" && at - instance.sinceMs >= aliveMs) instance = { ...instance, state: "CRASHED", sinceMs: at };
      for (const nudge of reconcile([app({ updatedAtMs: -1e9 })], [instance], memory, { nowMs: at }))
        if (nudge.type === "start") {
          starts.push(at);
          instance = seen({ instance: String(starts.length), state: aliveMs === 0 ? "CRASHED" : "RUNNING", sinceMs: at });
        }
    }
    return starts;
  };
  test("a crash loop: two restarts at once, then 30 s, 60 s, 120 s ...", () => {
    const starts = simulate(0, 900_000);
    const gaps = starts.slice(1).map((at, i) => Math.round((at - (starts[i] ?? 0)) / 1_000));
    expect(gaps.slice(0, 5)).toEqual([1, 30, 60, 120, 240]);
  });
  test("running for more than five minutes forgives", () => {
    const starts = simulate(diegoBackoff.forgiveAfterMs + 2_000, 20 * diegoBackoff.forgiveAfterMs);
    expect(starts.length).toBeGreaterThan(15);
  });
});

test("whatever is seen, following the nudges ends in the desired state", () =>
  fc.assert(fc.property(
    fc.array(fc.record({ instances: fc.nat(3), version: fc.constantFrom("1", "2") }), { maxLength: 3 }),
    fc.array(fc.record({ droplet: fc.nat(3), version: fc.constantFrom("1", "2"), index: fc.nat(4), state: fc.constantFrom("RUNNING", "STARTING", "CRASHED", "STOPPING") }), { maxLength: 12 }),
    (wanted, there) => {
      const desired = wanted.map((each, i) => app({ droplet: String(i), ...each }));
      let actual = there.map((each, i) => seen({ ...each, droplet: String(each.droplet), instance: `i${i}` }));
      const memory = emptyMemory();
      let made = 0;
      for (let pass = 0; pass < 60; pass++) {
        const at = nowMs + pass * 40_000;
        for (const nudge of reconcile(desired, actual, memory, { nowMs: at }))
          if (nudge.type === "stop") actual = actual.filter(({ instance }) => instance !== nudge.instance);
          else actual = [...actual.filter((each) => !(each.state === "CRASHED" && each.index === nudge.index && each.droplet === nudge.droplet)),
            seen({ droplet: nudge.droplet, version: nudge.version, index: nudge.index, instance: `n${made++}`, sinceMs: at })];
        actual = actual.map((each) => (each.state === "STARTING" ? { ...each, state: "RUNNING" } : each));
      }
      const living = actual.filter(({ state }) => state === "RUNNING").map(({ droplet, version, index }) => `${droplet} ${version} ${index}`).sort();
      const should = desired.flatMap(({ droplet, version, instances }) => Array.from({ length: instances }, (_, i) => `${droplet} ${version} ${i}`)).sort();
      expect(living).toEqual(should);
    }), { numRuns: 200 }));
