import { trimBlanks, type Fields } from "./field-lines.ts";
import { CHUNKED, NO_BODY, UNTIL_CLOSE, type Framing, type Version } from "./head.ts";
import type { RefusalCode } from "./refusal.ts";

/** How the body of a request ends (RFC 9112 section 6.3), where it can be said in one way only. */
export function requestFraming(fields: Fields, version: Version): Framing | RefusalCode {
  return codingOrLength(fields, version) ?? NO_BODY;
}

/** The same of a response; `method` is that of the request it answers. */
export function responseFraming(fields: Fields, version: Version, { status, method }: { status: number; method: string }): Framing | RefusalCode {
  const framing = codingOrLength(fields, version);
  if (typeof framing === "string") return framing;
  if (neverHasBody(status) || method === "HEAD" || (method === "CONNECT" && status >= 200 && status < 300)) return NO_BODY;
  return framing ?? UNTIL_CLOSE;
}

export const neverHasBody = (status: number): boolean => status < 200 || status === 204 || status === 304;

/** Whether a response that has no body announces one where it must not: what follows on the connection cannot be trusted. */
export const announcesBody = (fields: Fields, status: number): boolean =>
  (status < 200 || status === 204) && (fields.codings !== undefined || fields.length > 0);

function codingOrLength(fields: Fields, version: Version): Framing | RefusalCode | undefined {
  if (fields.codings !== undefined) {
    if (fields.lengths > 0) return "length_with_coding";
    if (version === "1.0") return "coding_in_1_0";
    return fields.codings.toLowerCase() === "chunked" ? CHUNKED : codingProblem(fields.codings);
  }
  if (fields.lengths === 0) return undefined;
  if (fields.lengths > 1) return "several_lengths";
  if (fields.length < 0) return "bad_length";
  return fields.length === 0 ? NO_BODY : { kind: "length", length: fields.length };
}

function codingProblem(codings: string): RefusalCode {
  if (codings.includes("\t")) return "bad_coding";
  const list = codings.toLowerCase().split(",").map(trimBlanks);
  return list.at(-1) === "chunked" && list.indexOf("chunked") === list.length - 1 && list.every((coding) => coding !== "") ? "unknown_coding" : "bad_coding";
}
