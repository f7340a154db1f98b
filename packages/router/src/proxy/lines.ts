import { isFieldValue, isToken } from "../http1/octets.ts";

/** Headers as they are written, and what they say about the body. */
export interface Lines {
  readonly text: string;
  /** The value of `Content-Length`; -1 where there is none. */
  readonly length: number;
}

/** Headers on their way to an endpoint: a list for who wants to look or add, text for who only has to write them. */
export interface Outbound {
  /** Name, value, name, value …: a list of the caller's own. */
  flat(): string[];
  /** The same as lines; undefined when a line of it could not be written without becoming two. */
  lines(): Lines | undefined;
}

/** Headers that are a list already. */
export class FlatHeaders implements Outbound {
  readonly #headers: string[];
  constructor(headers: string[]) { this.#headers = headers; }
  flat(): string[] { return this.#headers; }
  lines(): Lines | undefined { return linesOf(this.#headers); }
}

/** The lines of these headers, but for `Transfer-Encoding`, which whoever frames the body writes; undefined when one could not be written without becoming two. */
export function linesOf(headers: readonly string[]): Lines | undefined {
  let text = "";
  let length = -1;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    // Whatever a step may have put there: a line end in a value would begin a header of somebody else's.
    if (!isToken(name) || !isFieldValue(value)) return undefined;
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      if (length >= 0) return undefined;
      length = Number(value);
    } else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") continue;
    text += `${name}: ${value}\r\n`;
  }
  return { text, length };
}
