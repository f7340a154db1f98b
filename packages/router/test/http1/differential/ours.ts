import type { BodyReader } from "../../../src/http1/body.ts";
import { createBodyReader } from "../../../src/http1/body-reader.ts";
import type { RequestHead, ResponseHead } from "../../../src/http1/head.ts";
import { createRequestHeadParser, createResponseHeadParser } from "../../../src/http1/head-parser.ts";
import type { Http1Limits } from "../../../src/http1/limits.ts";
import type { Message, Sample, Understood } from "./understood.ts";

/** Reads `sample` with the router's own parser, in the pieces that `cuts` (ascending places) make. */
export function readByUs({ side, method, bytes }: Sample, cuts: readonly number[] = [], limits: Http1Limits = {}): Understood {
  const parser = side === "request" ? createRequestHeadParser(limits) : createResponseHeadParser(limits);
  if ("method" in parser) parser.method = method;
  const messages: Message[] = [];
  let message: Message | undefined;
  let body: BodyReader | undefined;
  let last = false;
  let begun = 0;
  for (const end of [...cuts, bytes.length]) {
    // A copy, so that whoever keeps a view too long is found out.
    const chunk = Buffer.from(bytes.subarray(begun, end));
    begun = end;
    let at = 0;
    while (at < chunk.length) {
      if (body === undefined || message === undefined) {
        const head = parser.push(chunk, at);
        if (head === undefined) break;
        if (head.kind === "refusal") return { messages, end: `refused ${head.code}` };
        at = parser.next;
        message = messageOf(head);
        messages.push(message);
        body = createBodyReader(head.framing, side, limits);
        last = leaves(head, method);
      } else {
        const current: Message = message;
        const next = body.push(chunk, at, (slice) => { current.body += slice.toString("latin1"); });
        if (typeof next !== "number") return { messages, end: `refused ${next.code}` };
        at = next;
      }
      if (body.done) {
        message.whole = true;
        message.trailers = body.trailers;
        message = body = undefined;
        if (last) return { messages, end: "left" };
      }
    }
    chunk.fill(0x21);
  }
  return { messages, end: "open" };
}

const messageOf = (head: RequestHead | ResponseHead): Message => ({
  start: head.kind === "request" ? `${head.method} ${head.target} ${head.version}` : `${head.version} ${head.status} ${head.reason}`,
  headers: head.rawHeaders, body: "", trailers: [], whole: false,
});

/** Whether nothing that follows on the connection is HTTP of this sender. */
function leaves(head: RequestHead | ResponseHead, method: string): boolean {
  if (head.kind === "request") return !head.keepAlive || head.method === "CONNECT" || head.upgrade !== undefined;
  if (head.interim) return false;
  return head.status === 101 || (method === "CONNECT" && head.status < 300) || (!head.keepAlive && head.framing.kind !== "until-close");
}
