import { catalogue } from "../catalogue.ts";
import type { AnyMessage, Role } from "../schema.ts";
import { fillPattern, matches } from "../subject.ts";
import { bucketsOf, stateSubjects } from "./state.ts";

/** What a connection may do; an empty list allows nothing. `deny` overrules `allow`. */
export interface Permissions {
  readonly publish: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /** An entry of two words is a subject and the queue group in which alone it may be listened to. */
  readonly subscribe: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /** How many answers it may send to each question it has heard, and for how long; undefined: it answers nothing. */
  readonly allowResponses: { readonly max: number; readonly expiresMs: number } | undefined;
}

export interface PermissionOptions {
  /** Where its answers come in; the connection must be made with the same `inboxPrefix`. Default `_INBOX.ROLE`. */
  inboxPrefix?: string;
  /**
   * Shared state on JetStream: the buckets it may read and write, false for none. Default: `presence`, and `leases` for roles that elect a leader.
   * Whoever may watch a bucket may name the subject on which JetStream tells changes, and the server does not hold that against `publish`:
   * give state only to components that you trust not to abuse it.
   */
  state?: boolean | readonly string[];
  /** Values for names in subjects, such as `{ id: "dea-0" }` for an executor that may only hear its own commands. Default: any. */
  params?: Readonly<Record<string, string>>;
}

/** One answer within half a minute is the rule; these take longer, or send more. */
const answering: Readonly<Record<string, { max: number; expiresMs: number }>> = {
  "staging": { max: 1, expiresMs: 1_800_000 },
  "staging.{id}.start": { max: 4, expiresMs: 1_800_000 },
  "dea.find.droplet": { max: 1_000, expiresMs: 30_000 },
  "opencf.task.find": { max: 1_000, expiresMs: 30_000 },
  "droplet.status": { max: 1_000, expiresMs: 30_000 },
  "healthmanager.health": { max: 10_000, expiresMs: 30_000 },
  "{service}.provision.{node}": { max: 1, expiresMs: 600_000 },
  "{service}.restore.{node}": { max: 1, expiresMs: 3_600_000 },
};
/** The server counts by connection, and one process may be several components that each answer. */
const oneAnswer = { max: 16, expiresMs: 30_000 };

/** Everybody who works on this bus is a component; whoever only looks from outside is not. */
const isOneOf = (role: Role, named: readonly string[]): boolean => named.includes(role) || (role !== "tool" && named.includes("component"));

/** What a role needs and nothing else, from who speaks and who listens in the catalogue. A `tool` may listen to everything but answers. */
export function permissionsFor(role: Role, { inboxPrefix = `_INBOX.${role}`, state = true, params = {} }: PermissionOptions = {}): Permissions {
  const subjectOf = ({ subject }: AnyMessage): string => fillPattern(subject, params);
  const spoken = catalogue.filter(({ from }) => isOneOf(role, from));
  const heard = catalogue.filter(({ to }) => isOneOf(role, to));
  const buckets = state === false ? [] : state === true ? bucketsOf(role) : state;

  const publish = spoken.map(subjectOf);
  const subscribe = role === "tool" ? everything() : heard.map((message) => (message.queue === undefined ? subjectOf(message) : `${subjectOf(message)} ${message.queue}`));
  const answered = heard.filter(({ reply }) => reply !== undefined).map(({ subject }) => answering[subject] ?? oneAnswer);
  const asks = spoken.some(({ reply }) => reply !== undefined) || buckets.length > 0;
  return {
    publish: { allow: tidy([...publish, ...buckets.flatMap(stateSubjects)]), deny: stolen(publish) },
    subscribe: { allow: tidy([...subscribe, ...(asks ? [`${inboxPrefix}.>`] : [])]), deny: role === "tool" ? [] : stolen(subscribe) },
    allowResponses: answered.length === 0 ? undefined : {
      max: Math.max(...answered.map(({ max }) => max)),
      expiresMs: Math.max(...answered.map(({ expiresMs }) => expiresMs)),
    },
  };
}

/** The permissions of a connection that has several roles, such as an executor that stages. */
export function joinPermissions(...all: readonly Permissions[]): Permissions {
  const list = (pick: (each: Permissions) => readonly string[]): string[] => tidy(all.flatMap(pick));
  const side = (pick: (each: Permissions) => Permissions["publish"]): Permissions["publish"] => {
    const allow = list((each) => pick(each).allow);
    return { allow, deny: list((each) => pick(each).deny).filter((subject) => !allow.includes(subject)) };
  };
  const responses = all.flatMap(({ allowResponses }) => allowResponses ?? []);
  return {
    publish: side(({ publish }) => publish),
    subscribe: side(({ subscribe }) => subscribe),
    allowResponses: responses.length === 0 ? undefined : {
      max: Math.max(...responses.map(({ max }) => max)), expiresMs: Math.max(...responses.map(({ expiresMs }) => expiresMs)),
    },
  };
}

const tidy = (subjects: readonly string[]): string[] => [...new Set(subjects)].sort();

/** Subjects of other messages that a wildcard lets in too: `*.discover` of services is also `dea.discover`. */
const stolen = (allowed: readonly string[]): string[] => {
  const patterns = allowed.map((entry) => entry.split(" ")[0] as string);
  const wide = patterns.filter((pattern) => pattern.includes("*"));
  const others = catalogue.map(({ subject }) => subject).filter((subject) => !subject.includes("{") && !patterns.includes(subject));
  return tidy(others.filter((subject) => wide.some((pattern) => matches(pattern, subject))));
};

/** Whole trees of subjects, so that wildcards can be listened to: `router.>`, `dea.>` ... */
const everything = (): string[] =>
  catalogue.flatMap(({ subject }) => {
    const [root = "", ...rest] = subject.split(".");
    return root.startsWith("{") ? [fillPattern(subject)] : rest.length === 0 ? [root] : [`${root}.>`];
  });
