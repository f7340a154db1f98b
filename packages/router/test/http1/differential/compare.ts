import { readByNode } from "./theirs.ts";
import { readByUs } from "./ours.ts";
import type { Message, Sample, Understood } from "./understood.ts";

/**
 * How the two readers differ; undefined where they understand the same.
 * - `stricter <our reason>`: we refuse what llhttp reads
 * - `laxer <its reason>`: it refuses what we read
 * - `sooner`: we end the connection behind a message where llhttp reads on
 * - `later`: we read on where llhttp ends the connection
 * - `other <what>`: both read it, and not the same: what smuggling is made of
 */
export function difference(sample: Sample, cuts: readonly number[]): string | undefined {
  const theirs = readByNode(sample);
  const found = differs(readByUs(sample, cuts), theirs);
  if (found?.startsWith("laxer") !== true) return found;
  // We look at lines when they are whole: with its end, is this one refused as well?
  return differs(readByUs({ ...sample, bytes: Buffer.concat([sample.bytes, lineEnds]) }, cuts), theirs) === undefined ? undefined : found;
}

const lineEnds = Buffer.from("\r\n\r\n");

export function differs(ours: Understood, theirs: Understood): string | undefined {
  const both = Math.min(ours.messages.length, theirs.messages.length);
  for (let at = 0; at < both; at += 1) {
    const one = ours.messages[at] as Message;
    const other = theirs.messages[at] as Message;
    if (one.start !== other.start) return "other start line";
    if (!same(one.headers, other.headers)) return "other headers";
    // The body of a message that one of them refuses later on may be known to a different length.
    const last = at === both - 1 && (ours.end.startsWith("refused") || theirs.end.startsWith("refused"));
    if (one.body !== other.body && !(last && (one.body.startsWith(other.body) || other.body.startsWith(one.body)))) return "other body";
    if (one.whole && other.whole && !same(one.trailers, other.trailers)) return "other trailers";
  }
  if (ours.end === "left" && theirs.messages.length >= ours.messages.length && (theirs.end !== "left" || theirs.messages.length > ours.messages.length)) return "sooner";
  if (theirs.end === "left" && ours.messages.length >= theirs.messages.length && (ours.end !== "left" || ours.messages.length > theirs.messages.length)) return "later";
  if (ours.end.startsWith("refused") && theirs.end.startsWith("refused") && ours.messages.length === theirs.messages.length) return undefined;
  if (ours.end.startsWith("refused") && (!theirs.end.startsWith("refused") || theirs.messages.length > ours.messages.length)) return ours.end.replace("refused", "stricter");
  if (theirs.end.startsWith("refused")) return theirs.end.replace("refused", "laxer");
  if (ours.messages.length !== theirs.messages.length) return "other number of messages";
  const [one, other] = [ours.messages.at(-1), theirs.messages.at(-1)];
  return one?.whole === other?.whole && ours.end === theirs.end ? undefined : `other end: ${ours.end} and ${theirs.end}`;
}

const same = (one: readonly string[], other: readonly string[]): boolean => one.length === other.length && one.every((part, at) => part === other[at]);
