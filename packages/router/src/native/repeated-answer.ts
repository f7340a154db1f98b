import type { Endpoint } from "../endpoint.ts";
import type { ResponseHead } from "../http1/head.ts";
import { bitsOf, DATE, REQUEST_ID, SET_COOKIE, TRANSFER_ENCODING, WWW_AUTHENTICATE } from "../http1/names.ts";
import { clientHead } from "../proxy/answer.ts";
import type { Exchange } from "../proxy/exchange.ts";
import { AnswerForm } from "./answer-form.ts";
import { writeAnswerHead } from "./answer-head.ts";
import type { ClientResponse } from "./client-response.ts";
import { isOrdinary, noteBegun } from "./cut-answer.ts";

/** What becomes of a head whose lines an app repeats. */
interface RepeatedHead {
  readonly status: number;
  readonly reason: string;
  readonly form: AnswerForm;
}

/** Headers with which more has to be done than to pass them on. */
const unusual = bitsOf(SET_COOKIE, WWW_AUTHENTICATE);

/**
 * Begins an answer whose header lines the endpoint has sent before on the same connection, where nothing about it or its request is unusual.
 * @returns false when it has to be begun in the ordinary way
 */
export function beginRepeated(exchange: Exchange, endpoint: Endpoint, { head, response }: { head: ResponseHead; response: ClientResponse }): boolean {
  if (!head.block.repeated || exchange.stickyInstance !== "" || exchange.method === "HEAD" || !isOrdinary(exchange, response)) return false;
  const held = head.block.derived as RepeatedHead | undefined;
  const made = held !== undefined && held.status === head.status && held.reason === head.reason ? held : prepare(exchange, endpoint, head);
  if (made === undefined || !response.writeForm(made.status, made.form, exchange.requestId)) return false;
  noteBegun(exchange, endpoint, made.status);
  return true;
}

function prepare(exchange: Exchange, endpoint: Endpoint, head: ResponseHead): RepeatedHead | undefined {
  const { status, reason, rawHeaders, block: { seen } } = head;
  const has = (names: number): boolean => (seen & names) !== 0;
  if (status < 200 || status === 204 || status === 304 || has(unusual)) return undefined;
  const hasRequestId = has(bitsOf(REQUEST_ID));
  const flat = clientHead(exchange, endpoint, { status, reason, headers: rawHeaders }, has(bitsOf(TRANSFER_ENCODING)));
  const shared = hasRequestId ? flat : flat.filter((_, at) => flat[at - (at % 2)] !== "X-Vcap-Request-Id");
  let written;
  try {
    written = writeAnswerHead(status, reason, shared, { http10: false, head: false, keepAlive: true, sendDate: false });
  } catch {
    // What cannot be written is refused where all heads are.
    return undefined;
  }
  if (!written.keepAlive) return undefined;
  const hasDate = has(bitsOf(DATE));
  const made: RepeatedHead = { status, reason, form: new AnswerForm(written.bytes.toString("latin1", 0, written.bytes.length - 2), { chunked: written.chunked, hasRequestId, hasDate }) };
  head.block.derived = made;
  return made;
}
