import { linesIn } from "../http1/field-lines.ts";
import { headWriter } from "../http1/head-writer.ts";
import { isFieldValue } from "../http1/octets.ts";

/** Headers as they are written, and what they say about the body. */
export interface Lines {
  readonly text: string;
  /** The value of `Content-Length`; -1 where there is none. */
  readonly length: number;
}

/** Name, value, name, value. */
export const flatOf = ({ text }: Lines): string[] => linesIn(text, 0, text.length);

/** Headers on their way to an endpoint. */
export interface Outbound {
  /** Name, value, name, value …: a list of the caller's own. */
  flat(): string[];
}

/** Where lines are written, one after the other. Who writes says nothing of what does not fit: the writer knows. */
interface LineWriter { line(name: string, value: string): void }

/** Headers that are a list already, or two that follow each other. */
export class FlatHeaders implements Outbound {
  readonly #headers: readonly string[];
  readonly #more: readonly string[];
  constructor(headers: readonly string[], more: readonly string[] = []) {
    this.#headers = headers;
    this.#more = more;
  }
  flat(): string[] { return [...this.#headers, ...this.#more]; }

  /**
   * Writes them, but for `Transfer-Encoding`, which whoever frames the body writes.
   * @returns the value of `Content-Length`, -1 where there is none; undefined where there are two, or one that is not written could not be
   */
  writeTo(writer: LineWriter): number | undefined {
    const length = writeLines(this.#headers, writer, -1);
    return length === undefined ? undefined : writeLines(this.#more, writer, length);
  }
}

/** `known`: the length that was said before. */
function writeLines(headers: readonly string[], writer: LineWriter, known: number): number | undefined {
  let length = known;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      if (length >= 0) return undefined;
      length = Number(value);
    } else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") {
      // Not written, and no way around the check either.
      if (!isFieldValue(value)) return undefined;
      continue;
    }
    writer.line(name, value);
  }
  return length;
}

/** The lines of these headers, but for `Transfer-Encoding`, which whoever frames the body writes; undefined when one could not be written without becoming two. */
export function linesOf(headers: readonly string[]): Lines | undefined {
  headWriter.begin();
  const length = writeLines(headers, headWriter, -1);
  const text = headWriter.take()?.toString("latin1");
  return length === undefined || text === undefined ? undefined : { text, length };
}
