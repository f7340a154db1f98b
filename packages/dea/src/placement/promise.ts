import type { Wanted } from "./choose.ts";

/** Room promised to one instance on one host, until the host's own numbers count it. */
export interface Promised {
  readonly id: string;
  readonly hostId: string;
  readonly wanted: Wanted;
  /** The host said yes. */
  accepted: boolean;
  /** When it is forgotten, whatever happened; on the placer's clock. */
  untilMs: number;
}

/** What a host tells about instances: how many of each app, and perhaps which promises these numbers hold. */
export interface Evidence {
  readonly counted: ReadonlySet<string> | undefined;
  now(app: string): number;
  /** In the advertisement before. */
  before(app: string): number;
}

/**
 * Which of a host's promises (oldest first) its new advertisement counts already. A host that lists them is taken at its word. Of
 * one that does not, as those of the original, it counts those that it had accepted before: what it says next comes after its
 * yes. And where it has more instances of an app than before, so many of the oldest others, for an advertisement may overtake
 * the yes. Taking one for counted that is not costs a refusal; the other way round room lies idle until the promise runs out.
 */
export function countedIn(promises: Iterable<Promised>, { counted, now, before }: Evidence): Promised[] {
  if (counted) return [...promises].filter(({ id }) => counted.has(id));
  const all = [...promises];
  const result = all.filter(({ accepted }) => accepted);
  const explained = new Map<string, number>();
  for (const { wanted: { app } } of result) explained.set(app, (explained.get(app) ?? 0) + 1);
  for (const each of all) {
    const { app } = each.wanted;
    const sofar = explained.get(app) ?? 0;
    if (each.accepted || now(app) - before(app) <= sofar) continue;
    explained.set(app, sofar + 1);
    result.push(each);
  }
  return result;
}
