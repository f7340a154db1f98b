import { assertSubject } from "../subject.ts";
import type { Interest } from "./interest.ts";

/** All interests in one pattern. */
interface Entry {
  readonly plain: Interest[];
  readonly groups: Map<string, Interest[]>;
}

/** Where packets of one subject go. The inner lists are those of the patterns, so that who comes and goes is seen at once. */
export interface Route {
  readonly plain: readonly (readonly Interest[])[];
  /** The members of one group may have come by several patterns: a nats-server goes by the name alone. */
  readonly groups: readonly (readonly (readonly Interest[])[])[];
  /** Whether it leads to more than one list; one list may still have several in it. */
  readonly shared: boolean;
}

interface Branch {
  readonly next: Map<string, Branch>;
  /** What a pattern that ends here has. */
  entry: Entry | undefined;
}

/** Subjects whose way is remembered; beyond that all are forgotten and looked up anew. */
const maxKnown = 8_192;

export const isWild = (pattern: string): boolean => /(?:^|\.)(?:\*|>)(?:\.|$)/.test(pattern);

/** Who is interested in what. A subject that was seen before costs one look into a map: no split, no check. */
export class Interests {
  private readonly entries = new Map<string, Entry>();
  private readonly root: Branch = { next: new Map(), entry: undefined };
  private wild = 0;
  private readonly known = new Map<string, Route>();

  add(interest: Interest): void {
    const { pattern, queue } = interest;
    const entry = this.entries.get(pattern) ?? { plain: [], groups: new Map<string, Interest[]>() };
    const members = queue === undefined ? entry.plain : entry.groups.get(queue);
    if (members?.length) return void members.push(interest);
    if (members) members.push(interest);
    else entry.groups.set(queue as string, [interest]);
    this.learn(pattern, entry);
  }

  remove(interest: Interest): void {
    const { pattern, queue } = interest;
    const entry = this.entries.get(pattern);
    const members = queue === undefined ? entry?.plain : entry?.groups.get(queue);
    const at = members?.indexOf(interest) ?? -1;
    if (!entry || !members || at < 0) return;
    members.splice(at, 1);
    if (members.length > 0) return;
    if (queue !== undefined) entry.groups.delete(queue);
    this.learn(pattern, entry.plain.length > 0 || entry.groups.size > 0 ? entry : undefined);
  }

  /** @throws BusError `BUS_INVALID_SUBJECT` */
  find(subject: string): Route {
    const known = this.known.get(subject);
    if (known) return known;
    assertSubject(subject);
    const found: Entry[] = [];
    const exact = this.entries.get(subject);
    if (exact && !isWild(subject)) found.push(exact);
    if (this.wild > 0) collect(this.root, subject.split("."), 0, found);
    const route = routeOf(found);
    if (this.known.size >= maxKnown) this.known.clear();
    this.known.set(subject, route);
    return route;
  }

  /** A pattern has something else now, or nothing: the ways that go by it are forgotten. */
  private learn(pattern: string, entry: Entry | undefined): void {
    const had = this.entries.has(pattern);
    if (entry) this.entries.set(pattern, entry);
    else this.entries.delete(pattern);
    if (!isWild(pattern)) {
      this.known.delete(pattern);
      return;
    }
    this.known.clear();
    this.wild += Number(entry !== undefined) - Number(had);
    place(this.root, pattern.split("."), 0, entry);
  }
}

function routeOf(entries: readonly Entry[]): Route {
  const plain = entries.map((entry) => entry.plain).filter((list) => list.length > 0);
  const groups = new Map<string, Interest[][]>();
  for (const entry of entries)
    for (const [queue, members] of entry.groups) groups.set(queue, [...(groups.get(queue) ?? []), members]);
  return { plain, groups: [...groups.values()], shared: plain.length + groups.size > 1 };
}

function collect(branch: Branch, tokens: readonly string[], depth: number, found: Entry[]): void {
  if (depth === tokens.length) {
    if (branch.entry) found.push(branch.entry);
    return;
  }
  const tail = branch.next.get(">")?.entry;
  if (tail) found.push(tail);
  const token = tokens[depth] as string;
  // A wildcard in a published subject is an ordinary token: it meets wildcards only.
  const same = token === "*" || token === ">" ? undefined : branch.next.get(token);
  if (same) collect(same, tokens, depth + 1, found);
  const any = branch.next.get("*");
  if (any) collect(any, tokens, depth + 1, found);
}

/** Puts an entry at the end of a pattern or takes it away, with the branches that led only there. */
function place(branch: Branch, tokens: readonly string[], depth: number, entry: Entry | undefined): void {
  if (depth === tokens.length) {
    branch.entry = entry;
    return;
  }
  const token = tokens[depth] as string;
  let next = branch.next.get(token);
  if (!next) branch.next.set(token, (next = { next: new Map(), entry: undefined }));
  place(next, tokens, depth + 1, entry);
  if (!next.entry && next.next.size === 0) branch.next.delete(token);
}
