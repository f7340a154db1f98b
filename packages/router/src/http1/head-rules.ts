import type { Fields, Lines } from "./fields.ts";
import { announcesBody, requestFraming, responseFraming } from "./framing.ts";
import type { RequestHead, ResponseHead, Version } from "./head.ts";
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

export const requestRules: HeadRules<RequestLine, RequestHead> = {
  side: "request",
  skipsBlankLine: true,
  readLine: readRequestLine,
  finish({ method, target, version }, fields) {
    if (fields.hosts > 1) return "several_hosts";
    if (fields.hosts === 0 && version === "1.1") return "no_host";
    if (fields.host !== "" && !isHostAndPort(fields.host)) return "bad_host";
    const framing = requestFraming(fields, version);
    if (typeof framing === "string") return framing;
    if (method === "CONNECT" && framing.kind !== "none") return "connect_with_body";
    return {
      kind: "request", method, target, version, rawHeaders: fields.raw, block: fields, framing,
      keepAlive: persists(fields, version),
      upgrade: fields.connectionUpgrade && version === "1.1" ? fields.upgrade : undefined,
      host: fields.hosts === 0 ? undefined : fields.host,
      expectContinue: fields.expectContinue && version === "1.1",
    };
  },
};

export const responseRules: HeadRules<StatusLine, ResponseHead> = {
  side: "response",
  skipsBlankLine: false,
  readLine: readStatusLine,
  finish({ status, reason, version }, fields, method) {
    const framing = responseFraming(fields, version, { status, method });
    if (typeof framing === "string") return framing;
    if (status < 200 && announcesBody(fields, status)) return "interim_with_body";
    return {
      kind: "response", status, reason, version, rawHeaders: fields.raw, block: fields, framing,
      keepAlive: framing.kind !== "until-close" && !announcesBody(fields, status) && persists(fields, version),
      upgrade: status === 101 && fields.connectionUpgrade ? fields.upgrade : undefined,
      interim: status < 200 && status !== 101,
    };
  },
};

/** RFC 9112 section 9.3. */
const persists = (fields: Fields, version: Version): boolean => !fields.close && (version === "1.1" || fields.keepAlive);
