/** What part of a file is asked for: all of it, one part (`end` is the first byte that is not in it), or one that is not there. */
export type Range = { kind: "whole" } | { kind: "part"; start: number; end: number } | { kind: "unsatisfiable" };

const whole: Range = { kind: "whole" };

/** Reads a `Range` header (RFC 9110 section 14). What is no range of bytes, and several at once, is answered with the whole file. */
export function parseRange(header: string | undefined, size: number): Range {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header ?? "");
  if (!match) return whole;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return whole;
  if (first === "") {
    const wanted = Math.min(Number(last), size);
    return wanted === 0 ? { kind: "unsatisfiable" } : { kind: "part", start: size - wanted, end: size };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return whole;
  if (start >= size) return { kind: "unsatisfiable" };
  return { kind: "part", start, end: last === "" ? size : Math.min(Number(last) + 1, size) };
}
