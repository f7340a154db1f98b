import { assertSubject } from "../subject.ts";
import type { Interest } from "./interest.ts";

/** All interests in one pattern. Queue groups of the same name on different patterns are different groups, as in NATS. */
export interface Entry {
  readonly pattern: string;
  readonly plain: Interest[];
  readonly groups: { readonly queue: string; readonly members: Interest[] }[];
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
  private readonly known = new Map<string, readonly Entry[]>();

  add(interest: Interest): void {
    let entry = this.entries.get(interest.pattern);
    if (!entry) {
      entry = { pattern: interest.pattern, plain: [], groups: [] };
      this.entries.set(interest.pattern, entry);
      this.learn(interest.pattern, entry);
    }
    const group = interest.queue === undefined ? undefined : entry.groups.find(({ queue }) => queue === interest.queue);
    if (group) group.members.push(interest);
    else if (interest.queue === undefined) entry.plain.push(interest);
    else entry.groups.push({ queue: interest.queue, members: [interest] });
  }

  remove(interest: Interest): void {
    const entry = this.entries.get(interest.pattern);
    if (!entry) return;
    if (interest.queue === undefined) take(entry.plain, interest);
    else {
      const at = entry.groups.findIndex(({ queue }) => queue === interest.queue);
      const group = entry.groups[at];
      if (group) take(group.members, interest);
      if (group?.members.length === 0) entry.groups.splice(at, 1);
    }
    if (entry.plain.length > 0 || entry.groups.length > 0) return;
    this.entries.delete(interest.pattern);
    this.learn(interest.pattern, undefined);
  }

  /** @throws BusError `BUS_INVALID_SUBJECT` */
  find(subject: string): readonly Entry[] {
    const known = this.known.get(subject);
    if (known) return known;
    assertSubject(subject);
    const found: Entry[] = [];
    const exact = this.entries.get(subject);
    if (exact && !isWild(subject)) found.push(exact);
    if (this.wild > 0) collect(this.root, subject.split("."), 0, found);
    if (this.known.size >= maxKnown) this.known.clear();
    this.known.set(subject, found);
    return found;
  }

  private learn(pattern: string, entry: Entry | undefined): void {
    if (!isWild(pattern)) {
      this.known.delete(pattern);
      return;
    }
    this.known.clear();
    this.wild += entry ? 1 : -1;
    place(this.root, pattern.split("."), 0, entry);
  }
}

function take(list: Interest[], interest: Interest): void {
  const at = list.indexOf(interest);
  if (at >= 0) list.splice(at, 1);
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
