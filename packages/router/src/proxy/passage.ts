import type { ConnectionInfo } from "../edge/connection.ts";
import type { Lines, Outbound } from "./lines.ts";

/** What the router has understood of where a request comes from. */
export interface Forwarding {
  readonly forwardedFor: string;
  readonly forwardedProto: string;
  /** The client's own; empty where it has none. */
  readonly requestStart: string;
  readonly idempotencyKey: boolean;
}

/** What has become of header lines that a client repeats: everything but what is different with each request. */
export interface Passage {
  readonly host: string;
  readonly connection: ConnectionInfo;
  readonly context: object;
  readonly headers: readonly string[];
  readonly lines: Lines;
  readonly forwarding: Forwarding;
}

/** What tells one request from the next. */
interface Moment { readonly requestId: string; readonly receivedAtMs: number }

/** The headers that are different with each request, and follow the others. */
export const momentHeaders = ({ receivedAtMs, requestId }: Moment, { requestStart }: Forwarding): string[] =>
  ["X-Request-Start", requestStart === "" ? String(receivedAtMs) : requestStart, "X-Vcap-Request-Id", requestId];

/** The headers of one attempt along a passage. */
export class PassageHeaders implements Outbound {
  readonly #moment: Moment & { readonly outboundHeaders: readonly string[] };
  readonly #passage: Passage;
  readonly #endpoint: Lines;
  readonly #flat: readonly string[];

  /** `endpoint`: the headers that name the instance, as lines and as a list. */
  constructor(moment: Moment & { readonly outboundHeaders: readonly string[] }, passage: Passage, endpoint: { readonly lines: Lines; readonly flat: readonly string[] }) {
    this.#moment = moment;
    this.#passage = passage;
    this.#endpoint = endpoint.lines;
    this.#flat = endpoint.flat;
  }

  flat(): string[] { return [...this.#moment.outboundHeaders, ...this.#flat]; }

  lines(): Lines {
    const { requestId, receivedAtMs } = this.#moment;
    const { lines, forwarding: { requestStart } } = this.#passage;
    return { text: `${lines.text}X-Request-Start: ${requestStart === "" ? receivedAtMs : requestStart}\r\nX-Vcap-Request-Id: ${requestId}\r\n${this.#endpoint.text}`, length: lines.length };
  }
}
