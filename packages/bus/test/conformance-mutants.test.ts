import { describe, expect, test } from "vitest";
import { conformance, type Case, type World } from "@opencf/bus/conformance";
import { faultMutants } from "./fixtures/fault-mutants.ts";
import { memoryWorld } from "./fixtures/memory-world.ts";
import { messageMutants } from "./fixtures/message-mutants.ts";

/** A case that does not end is one that fails: a runner would end it. Those of state and resources take their time. */
const limitMs = (item: number): number => (item >= 47 ? 60_000 : 2_500);

const itemOf = (title: string): number => Number(/^\d+/.exec(title)?.[0]);

async function fails([title, check]: [string, Case], world: World): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<boolean>((done) => (timer = setTimeout(() => done(true), limitMs(itemOf(title)))));
  const outcome = check({ ...world, patienceMs: 400 }).then(() => false, () => true);
  return Promise.race([outcome, limit]).finally(() => clearTimeout(timer));
}

// A suite that nothing can fail says nothing: here are carriers that are each wrong in one way.
describe("the suite notices a carrier that", () => {
  const noticed = new Set<string>();
  for (const { fault, items, world } of [...messageMutants, ...faultMutants])
    test(fault, async () => {
      const found = new Set<number>();
      const look = async (each: [string, Case]): Promise<void> => {
        if (!(await fails(each, world()))) return;
        found.add(itemOf(each[0]));
        noticed.add(each[0]);
      };
      const all = Object.entries(conformance).filter(([title]) => items.includes(itemOf(title)));
      await Promise.all(all.filter(([title]) => itemOf(title) < 47).map(look));
      // One by one: they look at memory, or are many; there the first that notices is enough.
      for (const each of all) if (itemOf(each[0]) === 54 || (itemOf(each[0]) >= 47 && !found.has(itemOf(each[0])))) await look(each);
      expect(items.filter((item) => !found.has(item)), "items that do not notice").toEqual([]);
    }, 180_000);

  test("is wrong, whatever the case: each can fail", () => {
    const isState = (title: string): boolean => itemOf(title) >= 47 && itemOf(title) <= 53;
    expect(Object.keys(conformance).filter((title) => !isState(title) && !noticed.has(title))).toEqual([]);
    expect([...new Set([...noticed].filter(isState).map(itemOf))].sort()).toEqual([47, 48, 49, 50, 51, 52, 53]);
  });

  test("but finds nothing in one that is right", async () => {
    const world = memoryWorld();
    for (const each of Object.entries(conformance).filter(([title]) => [1, 9, 16, 21, 39].includes(itemOf(title))))
      expect(await fails(each, world), each[0]).toBe(false);
  });
});
