import type { Exchange } from "../proxy/exchange.ts";
import type { Outbound } from "../proxy/lines.ts";

/** How the body of a request goes out: not at all, as so many bytes, or in chunks (-1). */
export interface OutboundHead {
  readonly text: string;
  readonly length: number;
}

/** Methods whose requests say that they have no body (RFC 9110 section 8.6). */
const expectsBody = new Set(["POST", "PUT", "PATCH"]);

const badTarget = /[^\x21-\x7e\x80-\xff]/;

export const requestLine = (method: string, target: string): string => `${method} ${target} HTTP/1.1\r\n`;

/** Whether it can stand in a request line. */
export const isTarget = (target: string): boolean => target !== "" && !badTarget.test(target);

/** The head of a request as it goes to the endpoint; undefined when a line of it could not be written without becoming two. */
export function outboundHead({ method, target, hasBody }: Exchange, headers: Outbound, close: boolean): OutboundHead | undefined {
  if (!isTarget(target)) return undefined;
  const lines = headers.lines();
  if (lines === undefined) return undefined;
  const said = lines.length >= 0;
  let text = requestLine(method, target) + lines.text;
  if (hasBody && !said) text += "Transfer-Encoding: chunked\r\n";
  else if (!hasBody && !said && expectsBody.has(method)) text += "Content-Length: 0\r\n";
  return { text: close ? `${text}Connection: close\r\n\r\n` : `${text}\r\n`, length: !hasBody ? 0 : said ? lines.length : -1 };
}
