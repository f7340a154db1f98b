import type { Paint } from "./color.ts";
import { clean, cut, duration, seconds, short } from "./text.ts";
import type { Story } from "./timeline-select.ts";
import type { Step } from "./timeline-steps.ts";

export interface TimelineTextOptions {
  /** Silence that is worth a line, in ms. */
  gapMs: number;
  width: number;
  paint: Paint;
}

/** The timeline as text: what it is about, then a line for each message, indented below what led to it, and a line for each silence. */
export function timelineText(story: Story, steps: readonly Step[], { gapMs, width, paint }: TimelineTextOptions): string[] {
  const lastMs = Math.max(0, ...steps.map(({ ms }) => ms));
  const told = (name: string, ids: readonly string[]): string | undefined => (ids.length === 0 ? undefined : `${name} ${ids.slice(0, 4).map(short).join(" ")}${ids.length > 4 ? ` +${ids.length - 4}` : ""}`);
  const title = [
    told("app", story.apps), told("instance", story.instances), told("trace", story.traces), `${story.documents.length} messages in ${duration(lastMs)}`,
  ].filter((each) => each !== undefined).join("   ");
  const whoOf = ({ depth, from, to }: Step): string => `${"  ".repeat(depth)}${from} -> ${to}`;
  const whoWidth = Math.min(48, Math.max(0, ...steps.map((step) => whoOf(step).length)));
  const lines = [paint("bold", title), ""];
  let before = 0;
  for (const step of steps) {
    if (step.ms - before >= gapMs) lines.push(paint("dim", `${" ".repeat(11)}... ${duration(step.ms - before)} of silence`));
    before = step.ms;
    const { document } = step;
    const subject = document.answers === null ? clean(document.subject) : "answer";
    const wrong = document.valid === false ? `invalid: ${clean((document.issues ?? []).join("; "))}` : "";
    const again = step.repeated > 0 ? `(${step.repeated} more until ${seconds(step.lastMs)})` : "";
    const fixed = 11 + whoWidth + 2 + 28 + 2 + (wrong === "" ? 0 : wrong.length + 2) + (again === "" ? 0 : again.length + 2);
    const color = wrong ? "red" : document.answers !== null ? "cyan" : document.message === null ? "yellow" : "green";
    lines.push([
      `${paint("dim", seconds(step.ms).padStart(9))}  ${cut(whoOf(step), whoWidth).padEnd(whoWidth)}`, paint(color, middle(subject, 28).padEnd(28)),
      cut(step.what, Math.max(24, Math.min(width, 2_000) - fixed)), paint("red", wrong), paint("dim", again),
    ].filter((each) => each !== "").join("  ").trimEnd());
  }
  return lines;
}

/** Both ends of a subject say more than its beginning. */
const middle = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, width - 13)}…${text.slice(-12)}`);

/** One step as JSON: the document of `tap --json` and where it stands. */
export const stepJson = ({ document, ...rest }: Step): string => JSON.stringify({ ...rest, ...document });
