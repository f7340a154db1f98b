import type { Fields } from "./field-lines.ts";
import type { Lines } from "./fields.ts";
import { announcesBody, requestFraming, responseFraming } from "./framing.ts";
import type { Framing, HeaderBlock, RequestHead, ResponseHead, Version } from "./head.ts";
import type { RefusalCode } from "./refusal.ts";
import { isHostAndPort, readRequestLine, readStatusLine, type RequestLine, type StatusLine } from "./start-line.ts";

/** What requests and responses do not share. */
export interface HeadRules<Line, Head> {
  readonly side: "request" | "response";
  /** Whether one empty line before the start line is passed over (RFC 9112 section 2.2: servers should, for old clients). */
  readonly skipsBlankLine: boolean;
  readLine(lines: Lines, from: number): Line | RefusalCode;
  /** Puts the head together, or says what makes it ambiguous. */
  finish(line: Line, fields: Fields, method: string): Head | RefusalCode;
}

/** RFC 9112 section 9.3. */
const persists = (fields: Fields, version: Version): boolean => !fields.close && (version === "1.1" || fields.keepAlive);

/** Classes, so that the header lines are taken apart only where somebody asks for them. */
class ReadRequestHead implements RequestHead {
  readonly kind = "request";
  readonly method: string;
  readonly target: string;
  readonly version: Version;
  readonly block: HeaderBlock;
  readonly framing: Framing;
  readonly keepAlive: boolean;
  readonly upgrade: string | undefined;
  readonly host: string | undefined;
  readonly expectContinue: boolean;

  constructor({ method, target, version }: RequestLine, fields: Fields, framing: Framing) {
    this.method = method;
    this.target = target;
    this.version = version;
    this.block = fields;
    this.framing = framing;
    this.keepAlive = persists(fields, version);
    this.upgrade = fields.connectionUpgrade && version === "1.1" ? fields.upgrade : undefined;
    this.host = fields.hosts === 0 ? undefined : fields.host;
    this.expectContinue = fields.expectContinue && version === "1.1";
  }

  get rawHeaders(): readonly string[] { return this.block.raw; }
}

class ReadResponseHead implements ResponseHead {
  readonly kind = "response";
  readonly status: number;
  readonly reason: string;
  readonly version: Version;
  readonly block: HeaderBlock;
  readonly framing: Framing;
  readonly keepAlive: boolean;
  readonly upgrade: string | undefined;
  readonly interim: boolean;

  constructor({ status, reason, version }: StatusLine, fields: Fields, framing: Framing) {
    this.status = status;
    this.reason = reason;
    this.version = version;
    this.block = fields;
    this.framing = framing;
    this.keepAlive = framing.kind !== "until-close" && !announcesBody(fields, status) && persists(fields, version);
    this.upgrade = status === 101 && fields.connectionUpgrade ? fields.upgrade : undefined;
    this.interim = status < 200 && status !== 101;
  }

  get rawHeaders(): readonly string[] { return this.block.raw; }
}

export const requestRules: HeadRules<RequestLine, RequestHead> = {
  side: "request",
  skipsBlankLine: true,
  readLine: readRequestLine,
  finish(line, fields) {
    const { method, version } = line;
    if (fields.hosts > 1) return "several_hosts";
    if (fields.hosts === 0 && version === "1.1") return "no_host";
    if (fields.host !== fields.hostBefore && fields.host !== "" && !isHostAndPort(fields.host)) return "bad_host";
    const framing = requestFraming(fields, version);
    if (typeof framing === "string") return framing;
    if (method === "CONNECT" && framing.kind !== "none") return "connect_with_body";
    return new ReadRequestHead(line, fields, framing);
  },
};

export const responseRules: HeadRules<StatusLine, ResponseHead> = {
  side: "response",
  skipsBlankLine: false,
  readLine: readStatusLine,
  finish(line, fields, method) {
    const { status, version } = line;
    const framing = responseFraming(fields, version, { status, method });
    if (typeof framing === "string") return framing;
    if (status < 200 && announcesBody(fields, status)) return "interim_with_body";
    return new ReadResponseHead(line, fields, framing);
  },
};
