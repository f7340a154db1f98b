import type { Paint } from "./color.ts";
import type { TapDocument } from "./document.ts";
import { summarize } from "./summary.ts";
import { clean, cut, seconds } from "./text.ts";

export interface TapLineOptions {
  /** What the time is told from, in ms since the epoch; undefined for the time of day. */
  sinceMs: number | undefined;
  /** Columns of the terminal; Infinity for no limit. */
  width: number;
  /** Does not cut, and puts the whole body below. */
  full: boolean;
  paint: Paint;
}

/** Text on a pipe has no width, and still nobody reads a line that never ends. */
const longestLine = 2_000;
const subjectWidth = 26;

/** One packet as a person reads it: time, mark, subject, what it says, why it is invalid, who said it. Signs: `!` invalid, `?` unknown, `<` an answer. */
export function tapLine(document: TapDocument, { sinceMs, width, full, paint }: TapLineOptions): string {
  const atMs = Date.parse(document.at);
  const time = (sinceMs === undefined ? document.at.slice(11, 23) : seconds(atMs - sinceMs)).padStart(sinceMs === undefined ? 12 : 9);
  const { answers, valid, message } = document;
  const mark = valid === false ? "!" : answers !== null ? "<" : message === null ? "?" : " ";
  const subject = clean(answers ?? document.subject);
  const says = what(document);
  const why = valid === false ? `invalid: ${clean((document.issues ?? []).join("; "))}` : "";
  const who = [
    document.sender !== null && `from ${clean(document.sender)}`,
    document.reply !== null && "(asks)",
    document.trace !== null && `~${clean(document.trace).slice(-8)}`,
  ].filter(Boolean).join(" ");
  const limit = full ? Infinity : Math.min(width, longestLine);
  const fixed = time.length + 3 + Math.max(subject.length, subjectWidth) + (why === "" ? 0 : why.length + 2) + (who === "" ? 0 : who.length + 2);
  const color = valid === false ? "red" : answers !== null ? "cyan" : message === null ? "yellow" : "green";
  const parts = [
    `${paint("dim", time)} ${paint(color, mark)} ${paint(color, subject.padEnd(subjectWidth))}`,
    cut(says, Math.max(limit - fixed - 2, 16)),
    paint("red", cut(why, Math.max(limit - 30, 40))),
    paint("dim", who),
  ].filter((part) => part !== "");
  const body = full && document.body !== "" ? `\n${" ".repeat(12)}${clean(JSON.stringify(document.body))}` : "";
  return `${parts.join("  ").trimEnd()}${body}`;
}

/** What it says, with what the server itself has to say first. */
export function what({ status, body, message, answers, bytes }: TapDocument): string {
  if (status !== undefined) return status === 503 ? "nobody listens (503)" : `the server says ${status}`;
  return summarize(body, { message, isAnswer: answers !== null }) || (bytes === 0 ? "(no body)" : "");
}
