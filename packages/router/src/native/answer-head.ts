import { STATUS_CODES } from "node:http";
import { isFieldValue, isToken } from "../http1/octets.ts";

/** How an answer's head is written, and what follows from it. */
export interface AnswerHeadText {
  readonly text: string;
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
export function answerHeadText(status: number, reason: string | undefined, headers: readonly string[], context: AnswerContext): AnswerHeadText {
  if (!Number.isInteger(status) || status < 100 || status > 999) throw invalid(`status ${status}`);
  const phrase = reason ?? STATUS_CODES[status] ?? "Unknown";
  if (!isFieldValue(phrase)) throw invalid("reason phrase");
  let text = `HTTP/1.1 ${status} ${phrase}\r\n`;
  let { keepAlive } = context;
  let length = false;
  let date = !context.sendDate;
  let connection = false;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    if (!isToken(name) || !isFieldValue(value)) throw invalid(name);
    switch (name.length) {
      case 4: if (!date && name.toLowerCase() === "date") date = true; break;
      case 10:
        if (name.toLowerCase() !== "connection") break;
        connection = true;
        if (/(?:^|[,\s])close(?:$|[,\s])/i.test(value)) keepAlive = false;
        break;
      case 14: if (name.toLowerCase() === "content-length") length = true; break;
      // Framing is ours alone.
      case 17: if (name.toLowerCase() === "transfer-encoding") continue; break;
      default: break;
    }
    text += `${name}: ${value}\r\n`;
  }
  if (!date) text += dateLine();
  const bodiless = context.head || status < 200 || status === 204 || status === 304;
  const chunked = !bodiless && !length && !context.http10;
  if (chunked) text += "Transfer-Encoding: chunked\r\n";
  else if (!bodiless && !length) keepAlive = false;
  if (!connection && (!keepAlive || context.http10)) text += keepAlive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  return { text: `${text}\r\n`, chunked, keepAlive };
}

const invalid = (what: string): Error => Object.assign(new TypeError(`an answer cannot be written: ${what}`), { code: "ERR_INVALID_CHAR" });

let dateSecond = 0;
let dateText = "";

/** The line that says when an answer was made. */
export function dateLine(): string {
  const now = Date.now();
  const second = Math.floor(now / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `Date: ${new Date(now).toUTCString()}\r\n`;
  }
  return dateText;
}
