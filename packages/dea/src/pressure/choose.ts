/** Used shares of the host, 0 to 1. */
export interface HostUse {
  memory: number;
  disk: number;
}

export type Resource = keyof HostUse;

/** Above `high` somebody must go; once it was, somebody goes until it is below `low`. */
export interface Watermark {
  high: number;
  low: number;
}

export type Watermarks = Readonly<Record<Resource, Watermark>>;

/** An instance that could go. */
export interface Movable {
  id: string;
  /** Those with the lowest go first. */
  priority: number;
  memoryBytes: number;
  diskBytes: number;
}

/** Which resources are short now, given which were. */
export function shortOf(use: HostUse, before: ReadonlySet<Resource>, marks: Watermarks): Set<Resource> {
  const short = new Set<Resource>();
  for (const resource of ["memory", "disk"] as const) {
    const { high, low } = marks[resource];
    if (use[resource] > (before.has(resource) ? low : high)) short.add(resource);
  }
  return short;
}

/** Who goes: of those with the lowest priority the one that uses most of what is short; by its name where two use as much. */
export function chooseToMove(short: Resource, movable: readonly Movable[]): Movable | undefined {
  const field = short === "memory" ? "memoryBytes" : "diskBytes";
  return [...movable].sort((a, b) => a.priority - b.priority || b[field] - a[field] || a.id.localeCompare(b.id))[0];
}
