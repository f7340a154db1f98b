/** Name under which the shared state can be put on one side of a partition. */
export const storeName = "store";

/** Which nodes hear each other. */
export interface Islands {
  /** Nodes of different groups do not hear each other; those in no group are one more group. */
  split(groups: readonly (readonly string[])[], all: Iterable<string>): void;
  heal(): void;
  hears(a: string, b: string): boolean;
}

export function createIslands(): Islands {
  let groupOf = new Map<string, number>();
  let storeGroup = 0;
  const rest = -1;
  const at = (name: string): number => groupOf.get(name) ?? (name === storeName ? storeGroup : rest);
  return {
    split(groups, all) {
      groupOf = new Map(groups.flatMap((names, i) => names.map((name) => [name, i] as const)));
      // The shared state stays where most nodes are, as a cluster of servers would; of groups of one size the last one named has it.
      const sizes = new Map<number, number>();
      for (const name of new Set([...groupOf.keys(), ...all])) sizes.set(at(name), (sizes.get(at(name)) ?? 0) + 1);
      storeGroup = rest;
      for (let i = 0; i < groups.length; i++) if ((sizes.get(i) ?? 0) >= (sizes.get(storeGroup) ?? 0)) storeGroup = i;
    },
    heal: () => groupOf.clear(),
    hears: (a, b) => groupOf.size === 0 || a === b || at(a) === at(b),
  };
}
