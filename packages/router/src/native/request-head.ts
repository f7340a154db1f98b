import { headWriter } from "../http1/head-writer.ts";
import type { Exchange } from "../proxy/exchange.ts";
import type { Outbound } from "../proxy/lines.ts";

/** How the body of a request goes out: not at all, as so many bytes, or in chunks (-1). */
export interface OutboundHead {
  readonly bytes: Buffer;
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
  headWriter.begin();
  headWriter.text(requestLine(method, target));
  const said = headers.writeTo(headWriter);
  if (said === undefined) return undefined;
  if (hasBody && said < 0) headWriter.text("Transfer-Encoding: chunked\r\n");
  else if (!hasBody && said < 0 && expectsBody.has(method)) headWriter.text("Content-Length: 0\r\n");
  headWriter.text(close ? "Connection: close\r\n\r\n" : "\r\n");
  const bytes = headWriter.take();
  return bytes === undefined ? undefined : { bytes, length: !hasBody ? 0 : said };
}
