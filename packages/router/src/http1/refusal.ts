/** Why a message is not read. Stable: logs, metrics and tests branch on `code`. */
export interface Refusal {
  readonly kind: "refusal";
  readonly code: RefusalCode;
  /** What a client is told; for a broken response always 502. After a refusal the connection must be closed. */
  readonly status: number;
  readonly sentence: string;
  /** Where the rule stands. */
  readonly rule: string;
}

/** Every reason, its status towards a client, its sentence, and where the rule stands. */
const rows = {
  bad_request_line: [400, "The request line is not method, target and version with one blank between them", "RFC 9112 section 3"],
  bad_status_line: [400, "The status line is not version, three digits and a reason", "RFC 9112 section 4"],
  bad_method: [400, "The method is not a token", "RFC 9110 section 9.1"],
  bad_target: [400, "The request target has none of the four forms", "RFC 9112 section 3.2"],
  bad_version: [400, "The version is neither HTTP/1.1 nor HTTP/1.0", "RFC 9112 section 2.3"],
  bare_lf: [400, "A line ends with LF alone", "RFC 9112 section 2.2"],
  bare_cr: [400, "A CR is not followed by LF", "RFC 9112 section 2.2"],
  control_character: [400, "There is a control character in the head", "RFC 9110 section 5.5"],
  bad_field_name: [400, "The name of a header is not a token", "RFC 9110 section 5.1"],
  no_colon: [400, "A header line has no colon", "RFC 9112 section 5"],
  blank_before_colon: [400, "There is a blank between the name of a header and its colon", "RFC 9112 section 5.1"],
  obs_fold: [400, "A header line begins with a blank", "RFC 9112 section 5.2"],
  head_too_large: [431, "The head is too large", "RFC 6585 section 5"],
  too_many_headers: [431, "There are too many headers", "RFC 6585 section 5"],
  no_host: [400, "There is no Host header", "RFC 9112 section 3.2"],
  several_hosts: [400, "There is more than one Host header", "RFC 9112 section 3.2"],
  bad_host: [400, "The Host header is no host with an optional port", "RFC 9112 section 3.2"],
  bad_length: [400, "Content-Length is no plain decimal number", "RFC 9110 section 8.6"],
  several_lengths: [400, "There is more than one Content-Length", "RFC 9112 section 6.3"],
  length_with_coding: [400, "There are both Content-Length and Transfer-Encoding", "RFC 9112 section 6.1"],
  coding_in_1_0: [400, "HTTP/1.0 knows no Transfer-Encoding", "RFC 9112 section 6.1"],
  bad_coding: [400, "The last transfer coding is not chunked, once", "RFC 9112 section 6.1"],
  connect_with_body: [400, "A CONNECT request announces a body", "RFC 9110 section 9.3.6"],
  interim_with_body: [400, "An interim response announces a body", "RFC 9110 section 15.2"],
  unknown_coding: [501, "Of transfer codings only chunked is known", "RFC 9112 section 6.1"],
  bad_chunk_size: [400, "A chunk does not begin with a hexadecimal size", "RFC 9112 section 7.1"],
  bad_chunk_extension: [400, "A chunk extension is malformed", "RFC 9112 section 7.1.1"],
  chunk_extensions_too_large: [400, "The chunk extensions are too large", "RFC 9112 section 7.1.1"],
  bad_chunk_end: [400, "A chunk is not followed by CRLF", "RFC 9112 section 7.1"],
  trailers_too_large: [431, "The trailers are too large", "RFC 9112 section 7.1.2"],
  forbidden_trailer: [400, "A trailer would change the framing or the route of the message", "RFC 9110 section 6.5.1"],
  truncated: [400, "The connection ended inside the message", "RFC 9112 section 8"],
} as const satisfies Record<string, readonly [number, string, string]>;

export type RefusalCode = keyof typeof rows;

export const refusalCodes = Object.keys(rows) as RefusalCode[];

const tableFor = (side: "request" | "response"): Record<RefusalCode, Refusal> => Object.fromEntries(refusalCodes.map((code) => {
  const [status, sentence, rule] = rows[code];
  return [code, Object.freeze({ kind: "refusal", code, status: side === "request" ? status : 502, sentence, rule })];
})) as Record<RefusalCode, Refusal>;

const tables = { request: tableFor("request"), response: tableFor("response") };

/** The refusal of a request or of a response; always the same object for the same reason. */
export const refusalOf = (side: "request" | "response", code: RefusalCode): Refusal => tables[side][code];
