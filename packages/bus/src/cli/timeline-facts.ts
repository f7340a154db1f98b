import type { TapDocument } from "./document.ts";

/** What one message, or one entry of a list in it, is about. */
export interface Facts {
  readonly app: string | undefined;
  readonly instance: string | undefined;
  readonly index: string | undefined;
}

export interface DocumentFacts {
  readonly entries: readonly Facts[];
  /** A list of everything somebody has, such as a heartbeat: what is in it belongs to many stories. */
  readonly isList: boolean;
  /** Every text in the subject and the body that may be an id. */
  readonly names: ReadonlySet<string>;
}

type Body = Readonly<Record<string, unknown>>;
const isBody = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value);
const first = (body: Body, fields: readonly string[]): string | undefined => {
  const found = fields.map((field) => body[field]).find((value) => (typeof value === "string" && value !== "") || typeof value === "number");
  return found === undefined ? undefined : String(found);
};
const factsIn = (body: Body): Facts => ({
  app: first(body, ["droplet", "app", "app_id", "app_guid", "source_id"]),
  instance: first(body, ["instance", "private_instance_id", "instance_guid", "instance_id"]),
  index: first(body, ["index", "instance_index", "private_instance_index"]),
});

const known = new WeakMap<TapDocument, DocumentFacts>();
const lists: Readonly<Record<string, string>> = { "dea.heartbeat": "droplets", "opencf.log": "envelopes" };
const noEntries: readonly Facts[] = [];

/** Remembered per document: a timeline asks again and again. */
export function factsOf(document: TapDocument): DocumentFacts {
  let facts = known.get(document);
  if (!facts) known.set(document, (facts = read(document)));
  return facts;
}

function read({ subject, body, message }: TapDocument): DocumentFacts {
  const names = new Set<string>(subject.split("."));
  collect(body, names, 0);
  const list = message === null ? undefined : lists[message];
  if (list !== undefined) {
    const items = isBody(body) && Array.isArray(body[list]) ? (body[list] as unknown[]).filter(isBody) : [];
    return { names, isList: true, entries: items.map(factsIn) };
  }
  if (!isBody(body)) return { names, isList: false, entries: noEntries };
  const facts = factsIn(body);
  // A stop by filter names its indices in a list of their own.
  const indices = Array.isArray(body["indices"]) ? body["indices"].map(String) : [];
  return { names, isList: false, entries: indices.length === 0 ? [facts] : indices.map((index) => ({ ...facts, index })) };
}

function collect(value: unknown, names: Set<string>, depth: number): void {
  if (typeof value === "string") {
    if (value.length >= 4 && value.length <= 128 && !/\s/.test(value)) names.add(value);
  } else if (typeof value === "object" && value !== null && depth < 12 && names.size < 5_000) for (const each of Object.values(value)) collect(each, names, depth + 1);
}
