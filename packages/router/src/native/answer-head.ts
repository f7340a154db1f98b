import { STATUS_CODES } from "node:http";
import { headWriter } from "../http1/head-writer.ts";
import { isFieldValue, isToken } from "../http1/octets.ts";

/** How an answer's head is written, and what follows from it. */
export interface WrittenHead {
  readonly bytes: Buffer;
  readonly chunked: boolean;
  readonly keepAlive: boolean;
}

/** What the answer is one to. */
export interface AnswerContext {
  readonly http10: boolean;
  readonly head: boolean;
  /** Whether the client lets the connection live on. */
  readonly keepAlive: boolean;
  readonly sendDate: boolean;
}

/**
 * The head of an answer, with the framing that its headers and its client leave (RFC 9112 section 6.3):
 * a length that was given, chunks, or the end of the connection.
 * @throws {Error} `ERR_INVALID_CHAR` for what no line can carry
 */
export function writeAnswerHead(status: number, reason: string | undefined, headers: readonly string[], context: AnswerContext): WrittenHead {
  if (!Number.isInteger(status) || status < 100 || status > 999) throw invalid(`status ${status}`);
  const phrase = reason ?? STATUS_CODES[status] ?? "Unknown";
  headWriter.begin();
  headWriter.text(`HTTP/1.1 ${status} `);
  headWriter.value(phrase);
  headWriter.text("\r\n");
  let { keepAlive } = context;
  let length = false;
  let date = !context.sendDate;
  let connection = false;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    switch (name.length) {
      case 4: if (!date && name.toLowerCase() === "date") date = true; break;
      case 10:
        if (name.toLowerCase() !== "connection") break;
        connection = true;
        if (/(?:^|[,\s])close(?:$|[,\s])/i.test(value)) keepAlive = false;
        break;
      case 14: if (name.toLowerCase() === "content-length") length = true; break;
      // Framing is ours alone.
      case 17:
        if (name.toLowerCase() !== "transfer-encoding") break;
        if (!isFieldValue(value)) throw invalid(name);
        continue;
      default: break;
    }
    headWriter.line(name, value);
  }
  if (!date) headWriter.text(dateLine());
  const bodiless = context.head || status < 200 || status === 204 || status === 304;
  const chunked = !bodiless && !length && !context.http10;
  if (chunked) headWriter.text("Transfer-Encoding: chunked\r\n");
  else if (!bodiless && !length) keepAlive = false;
  if (!connection && (!keepAlive || context.http10)) headWriter.text(keepAlive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
  headWriter.text("\r\n");
  const bytes = headWriter.take();
  if (bytes === undefined) throw invalid(isFieldValue(phrase) ? misfit(headers) : "reason phrase");
  return { bytes, chunked, keepAlive };
}

/** The name of the line that cannot be written. */
function misfit(headers: readonly string[]): string {
  const at = headers.findIndex((text, place) => !(place % 2 === 0 ? isToken(text) : isFieldValue(text)));
  return headers[at - (at % 2)] ?? "";
}

const invalid = (what: string): Error => Object.assign(new TypeError(`an answer cannot be written: ${what}`), { code: "ERR_INVALID_CHAR" });

let dateText = "";
const forget = (): void => { dateText = ""; };

/** The line that says when an answer was made. Worked out once a second. */
export function dateLine(): string {
  if (dateText === "") {
    const now = Date.now();
    dateText = `Date: ${new Date(now).toUTCString()}\r\n`;
    setTimeout(forget, 1_000 - now % 1_000).unref();
  }
  return dateText;
}
