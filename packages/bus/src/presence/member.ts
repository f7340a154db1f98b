import type { Entry } from "../kv/port.ts";

/** A component that is there. */
export interface Member {
  /** What it is: `Router`, `DEA`, `CloudController` ... */
  readonly type: string;
  /** Which one of its kind. */
  readonly index: number;
  /** New at every start. */
  readonly uuid: string;
  readonly version: string | undefined;
  /** Availability zone. */
  readonly zone: string | undefined;
  /** Where it answers, `address:port`. */
  readonly host: string | undefined;
  /** Whatever else it tells of itself. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Since when it is there, in ms since the epoch by its own clock. */
  readonly since: number;
  /** When it was last heard of, in ms since the epoch by the clock of the store. */
  readonly lastSeenMs: number;
}

/** Bucket for the members of a bus. */
export const presenceBucket = "presence";
/** What members leave behind in the store goes away after so long; no member may be silent for longer. */
export const keptMs = 3_600_000;

/** A word as a token of a key: what a key cannot have is written `=` and two hex digits of each byte. */
const token = (word: string): string =>
  word === "" ? "=" : [...new TextEncoder().encode(word)].map((byte) => (/[-\w]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `=${byte.toString(16).padStart(2, "0")}`)).join("");

export const keyOf = ({ type, index, uuid }: Pick<Member, "type" | "index" | "uuid">): string => `${token(type)}.${index}.${token(uuid)}`;
/** Keys of all members, or of one type. */
export const keysOf = (type: string | undefined): string => (type === undefined ? ">" : `${token(type)}.>`);

export const writeMember = ({ lastSeenMs: _, ...member }: Member): string => JSON.stringify(member);

/** Never throws: undefined for what is no member. */
export function readMember({ value, createdMs }: Entry): Member | undefined {
  try {
    const { type, index, uuid, since, version, zone, host, attributes } = JSON.parse(new TextDecoder().decode(value)) as Partial<Record<keyof Member, unknown>>;
    if (typeof type !== "string" || typeof index !== "number" || typeof uuid !== "string" || typeof since !== "number") return undefined;
    const text = (given: unknown): string | undefined => (typeof given === "string" ? given : undefined);
    const words = Object.entries(typeof attributes === "object" && attributes !== null ? attributes : {}).filter((each): each is [string, string] => typeof each[1] === "string");
    return { type, index, uuid, version: text(version), zone: text(zone), host: text(host), attributes: Object.fromEntries(words), since, lastSeenMs: createdMs };
  } catch {
    return undefined;
  }
}
