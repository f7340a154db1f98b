import type { Refusal, RefusalCode } from "../http1/refusal.ts";
import { faults, plainErrorPage, reasonOf, type Fault } from "../proxy/fault.ts";

/** Refusals that have an answer of their own; the others are malformed requests. */
const special: Partial<Record<RefusalCode, Fault>> = {
  head_too_large: faults.headersTooLarge(),
  too_many_headers: faults.headersTooLarge(),
  no_host: faults.emptyHost(),
  several_hosts: faults.badHost(),
  bad_host: faults.badHost(),
};

export const tooSlow: Fault = { status: 408, code: "request_timeout", message: "The request's headers took too long." };

export const faultOf = ({ code, status, sentence }: Refusal): Fault => special[code] ?? { status, code: "malformed_request", message: `${sentence}.` };

/** The last thing that is said on a connection of which nothing more is read. */
export function closingAnswer(fault: Fault): string {
  const { contentType, body } = plainErrorPage(fault);
  return `HTTP/1.1 ${fault.status} ${reasonOf(fault.status)}\r\nContent-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n`
    + `X-Cf-RouterError: ${fault.code}\r\nX-Content-Type-Options: nosniff\r\n${fault.cacheControl === undefined ? "" : `Cache-Control: ${fault.cacheControl}\r\n`}Connection: close\r\n\r\n${body}`;
}
