import type { Exchange } from "../proxy/exchange.ts";

/** How the body of a request goes out: not at all, as so many bytes, or in chunks (-1). */
export interface OutboundHead {
  readonly text: string;
  readonly length: number;
}

/** Methods whose requests say that they have no body (RFC 9110 section 8.6). */
const expectsBody = new Set(["POST", "PUT", "PATCH"]);

// Whatever a step may have put there: a line end in a value would begin a header of somebody else's.
const badTarget = /[^\x21-\x7e\x80-\xff]/;
const badName = /[^!#$%&'*+.^_`|~0-9A-Za-z-]/;
const badValue = /[^\t\x20-\x7e\x80-\xff]/;

/** The head of a request as it goes to the endpoint; undefined when a line of it could not be written without becoming two. */
export function outboundHead({ method, target, hasBody }: Exchange, headers: readonly string[], close: boolean): OutboundHead | undefined {
  if (target === "" || badTarget.test(target)) return undefined;
  let text = `${method} ${target} HTTP/1.1\r\n`;
  let length = hasBody ? -1 : 0;
  let said = false;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    if (name === "" || badName.test(name) || badValue.test(value)) return undefined;
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      if (said) return undefined;
      said = true;
      if (hasBody) length = Number(value);
    } else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") continue;
    text += `${name}: ${value}\r\n`;
  }
  if (length === -1) text += "Transfer-Encoding: chunked\r\n";
  else if (!said && expectsBody.has(method)) text += "Content-Length: 0\r\n";
  if (close) text += "Connection: close\r\n";
  return { text: `${text}\r\n`, length };
}
