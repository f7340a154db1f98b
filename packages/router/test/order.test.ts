import fc from "fast-check";
import { expect, test } from "vitest";
import { createOrder } from "../src/order.ts";

test("two streams keep their order, whatever pauses, is dropped or cannot be read", () => {
  const act = fc.oneof(
    { weight: 5, arbitrary: fc.constant("first" as const) }, { weight: 2, arbitrary: fc.constant("junk" as const) }, { weight: 4, arbitrary: fc.constant("second" as const) },
    { weight: 2, arbitrary: fc.constant("pause" as const) }, { weight: 2, arbitrary: fc.constant("go on" as const) },
  );
  fc.assert(fc.property(fc.array(act, { maxLength: 60 }), fc.integer({ min: 2, max: 6 }), fc.integer({ min: 1, max: 4 }), (acts, most, perRun) => {
    const done: number[] = [];
    const order = createOrder<number>((at) => done.push(at));
    const inbox: { at: number; junk: boolean }[] = [];
    const lost = new Set<number>();
    let paused = false;
    let dropped = 0;
    const handle = ({ at, junk }: { at: number; junk: boolean }): boolean => {
      if (junk) return false;
      order.reach(inbox.length, dropped);
      done.push(at);
      return true;
    };
    const goOn = (budget: number): void => {
      if (!paused) return;
      order.resume(inbox.length);
      paused = false;
      for (let left = budget; inbox.length > 0 && !paused;) {
        if (handle(inbox.shift() as { at: number; junk: boolean })) { left -= 1; paused = left === 0; }
      }
      if (!paused) order.settle(inbox.length);
    };
    acts.forEach((one, at) => {
      if (one === "second") order.follow(at, inbox.length, dropped);
      else if (one === "pause") paused ||= done.length > 0 && inbox.length === 0;
      else if (one === "go on") goOn(perRun);
      else if (paused) {
        inbox.push({ at, junk: one === "junk" });
        if (inbox.length > most) { lost.add((inbox.shift() as { at: number }).at); dropped += 1; }
      } else handle({ at, junk: one === "junk" });
    });
    while (paused) goOn(1_000);
    const expected = acts.flatMap((one, at) => ((one === "first" && !lost.has(at)) || one === "second" ? [at] : []));
    expect(done).toEqual(expected);
  }), { numRuns: 1_000 });
});
