import { headWriter } from "../http1/head-writer.ts";
import type { Exchange } from "../proxy/exchange.ts";
import { FlatHeaders, type Outbound } from "../proxy/lines.ts";
import { PassageHeaders } from "../proxy/passage.ts";

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
export function outboundHead(exchange: Exchange, headers: Outbound, close: boolean): OutboundHead | undefined {
  const { method, target, hasBody } = exchange;
  // What the router's own reader has read can be written.
  if ((exchange.block === undefined || target !== exchange.receivedTarget) && !isTarget(target)) return undefined;
  const begin = requestLine(method, target);
  const end = close ? "Connection: close\r\n\r\n" : "\r\n";
  if (headers instanceof PassageHeaders) {
    const { text, length } = headers;
    return text === undefined ? undefined : { bytes: Buffer.from(begin + text + framingLine(exchange, length) + end, "latin1"), length: hasBody ? length : 0 };
  }
  headWriter.begin();
  headWriter.text(begin);
  const said = (headers instanceof FlatHeaders ? headers : new FlatHeaders(headers.flat())).writeTo(headWriter);
  if (said === undefined) return undefined;
  headWriter.text(framingLine(exchange, said) + end);
  const bytes = headWriter.take();
  return bytes === undefined ? undefined : { bytes, length: hasBody ? said : 0 };
}

/** What the lines of a request leave to be said of its body; `length`: what they say. */
const framingLine = ({ method, hasBody }: Exchange, length: number): string =>
  (length >= 0 ? "" : hasBody ? "Transfer-Encoding: chunked\r\n" : expectsBody.has(method) ? "Content-Length: 0\r\n" : "");
