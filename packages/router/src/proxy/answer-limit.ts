/** An answer with more headers than are taken; engines report it by its code. */
export class TooManyHeaders extends Error {
  readonly code = "HEADERS_TOO_LARGE";
  constructor(count: number, most: number) { super(`${count} headers in an answer, ${most} are taken`); }
}

/**
 * Counts the header lines of an answer as gorouter does for `max_response_headers`: each line of a name that stands there several times,
 * but for those that Go's client takes away when it reads an answer.
 * @throws {TooManyHeaders}
 */
export function limitHeaders(headers: readonly string[], most: number): void {
  if (headers.length <= most * 2) return;
  let count = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase();
    if (name !== "transfer-encoding" && name !== "trailer") count += 1;
  }
  if (count > most) throw new TooManyHeaders(count, most);
}

/** What an answer that could not be begun failed with, in the words of the failure table. */
export const unfitCode = (cause: unknown): string => (cause instanceof TooManyHeaders ? cause.code : "BAD_RESPONSE");
