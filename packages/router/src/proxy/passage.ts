import type { ConnectionInfo } from "../edge/connection.ts";
import type { EndpointNames } from "../endpoint.ts";
import { firstValue } from "./flat-headers.ts";
import type { Lines, LineWriter, Outbound } from "./lines.ts";

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
  /** For the log; empty where the lines have none. */
  readonly referer: string;
  readonly userAgent: string;
  /** What the access log keeps of the lines that it has written for such requests; of no concern to others. */
  logged: unknown;
  /** What an engine keeps of how such a request is written; of no concern to others. */
  form: unknown;
}

/** What the log says of who asks and from where. */
export const spokenFor = (headers: readonly string[]): { referer: string; userAgent: string } =>
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

  writeTo(writer: LineWriter): number {
    const { requestId, receivedAtMs } = this.#moment;
    const { lines, forwarding: { requestStart } } = this.passage;
    writer.text(lines.text);
    writer.line("X-Request-Start", requestStart === "" ? String(receivedAtMs) : requestStart);
    // A step may have given it.
    writer.line("X-Vcap-Request-Id", requestId);
    writer.text(this.names.text);
    return lines.length;
  }
}
