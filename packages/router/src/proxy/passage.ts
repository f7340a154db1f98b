import type { ConnectionInfo } from "../edge/connection.ts";
import type { EndpointNames } from "../endpoint.ts";
import { isFieldValue } from "../http1/octets.ts";
import { firstValue } from "./flat-headers.ts";
import type { Lines, Outbound } from "./lines.ts";

/** What the router has understood of where a request comes from. */
export interface Forwarding {
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  /** The client's own; empty where it has none. */
  readonly requestStart: string;
  readonly idempotencyKey: boolean;
}

/** What the log says of who asks and from where; empty where the client does not say it. */
export interface Spoken {
  readonly referer: string;
  readonly userAgent: string;
}

/** What has become of the header lines of a request: everything but what is different where a client repeats them. */
export interface Passage extends Spoken {
  readonly host: string;
  readonly connection: ConnectionInfo;
  readonly context: object;
  readonly lines: Lines;
  readonly forwarding: Forwarding;
  /** Whether the client has repeated them: then it pays to keep what is made of them. */
  isRepeated: boolean;
  /** What the access log keeps of the lines that it has written for such requests; of no concern to others. */
  logged: unknown;
  /** What an engine keeps of how such a request is written; of no concern to others. */
  form: unknown;
}

export const spokenFor = (headers: readonly string[]): Spoken =>
  ({ referer: firstValue(headers, "referer") ?? "", userAgent: firstValue(headers, "user-agent") ?? "" });

/** What tells one request from the next. */
interface Moment { readonly requestId: string; readonly receivedAtMs: number }

/** The headers that are different with each request, and follow the others. */
export const momentHeaders = ({ receivedAtMs, requestId }: Moment, { requestStart }: Forwarding): string[] =>
  ["X-Request-Start", requestStart === "" ? String(receivedAtMs) : requestStart, "X-Vcap-Request-Id", requestId];

/** The headers of one attempt along a passage. */
export class PassageHeaders implements Outbound {
  readonly #moment: Moment & { readonly outboundHeaders: readonly string[] };
  readonly passage: Passage;
  readonly names: EndpointNames;

  constructor(moment: Moment & { readonly outboundHeaders: readonly string[] }, passage: Passage, names: EndpointNames) {
    this.#moment = moment;
    this.passage = passage;
    this.names = names;
  }

  flat(): string[] { return [...this.#moment.outboundHeaders, ...this.names.flat]; }

  /** All lines, each with its CR LF; undefined where the id that a step has given is none that a line can carry. */
  get text(): string | undefined {
    const { requestId, receivedAtMs } = this.#moment;
    const { lines, forwarding: { requestStart } } = this.passage;
    if (!isFieldValue(requestId)) return undefined;
    return `${lines.text}X-Request-Start: ${requestStart === "" ? receivedAtMs : requestStart}\r\nX-Vcap-Request-Id: ${requestId}\r\n${this.names.text}`;
  }

  /** The value of `Content-Length`; -1 where there is none. */
  get length(): number { return this.passage.lines.length; }
}
