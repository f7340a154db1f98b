import type { HeaderBlock } from "./head.ts";

/** How many numbers a line has in `HeaderBlock.marks`. */
export const markNumbers = 5;

/** The value of the line whose numbers begin at `at`. */
export const valueAt = ({ text, marks }: HeaderBlock, at: number): string => text.slice(marks[at + 2], marks[at + 3]);

/** The lines as they came, without those whose names are among the bits of `dropped`. */
export function linesWithout({ text, begin, end, seen, marks }: HeaderBlock, dropped: number): string {
  if ((seen & dropped) === 0) return text.slice(begin, end);
  let lines = "";
  let passed = begin;
  for (let at = 0; at < marks.length; at += markNumbers) {
    if ((dropped & (1 << (marks[at] as number))) === 0) continue;
    const begun = marks[at + 1] as number;
    if (begun > passed) lines += text.slice(passed, begun);
    passed = marks[at + 4] as number;
  }
  return end > passed ? lines + text.slice(passed, end) : lines;
}
