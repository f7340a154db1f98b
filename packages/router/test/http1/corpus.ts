import type { RefusalCode } from "../../src/http1/refusal.ts";

/** A message that two readers could take in two ways, and the one answer to it: read, with so many messages, or refused. */
export interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly expect: RefusalCode | number;
}

const request = (...lines: string[]): string => `POST / HTTP/1.1\r\nHost: app.example.com\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const get = "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n";
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.example.com\r\n\r\n";
const chunked = request("Transfer-Encoding: chunked");

/** Ambiguous requests, by what smugglers have used (RFC 9112 section 11.2 and what has been published since). */
export const requestCases: readonly Case[] = [
  // Two framings.
  { name: "length and coding", bytes: `${request("Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n${smuggled}`, expect: "length_with_coding" },
  { name: "coding and length", bytes: `${request("Transfer-Encoding: chunked", "Content-Length: 4")}0\r\n\r\n${smuggled}`, expect: "length_with_coding" },
  { name: "an empty coding and a length", bytes: `${request("Transfer-Encoding:", "Content-Length: 3")}abc`, expect: "length_with_coding" },
  { name: "two lengths", bytes: `${request("Content-Length: 3", "Content-Length: 5")}abcde`, expect: "several_lengths" },
  { name: "the same length twice", bytes: `${request("Content-Length: 3", "Content-Length: 3")}abc`, expect: "several_lengths" },
  { name: "two lengths in one line", bytes: `${request("Content-Length: 3, 5")}abcde`, expect: "several_lengths" },
  { name: "the same length twice in one line", bytes: `${request("Content-Length: 3, 3")}abc`, expect: "several_lengths" },
  ...["+3", "-3", "03", "0x3", "3.0", "1e1", "3 3", "", "3;", "99999999999999999999", "\u00b3"].map((value): Case => ({ name: `the length ${JSON.stringify(value)}`, bytes: `${request(`Content-Length: ${value}`)}abc`, expect: "bad_length" })),
  { name: "the length in vertical white space", bytes: `${request("Content-Length: \x0b3")}abc`, expect: "control_character" },
  // Codings that only some readers take for chunked.
  ...["xchunked", "chunked, identity", "identity", "chunked, chunked", "", "gzip", "chunked, gzip", "chunked;q=1"].map((value): Case => ({ name: `the coding ${JSON.stringify(value)}`, bytes: `${request(`Transfer-Encoding: ${value}`)}0\r\n\r\n`, expect: "bad_coding" })),
  { name: "the coding in quotes", bytes: `${request("Transfer-Encoding: \"chunked\"")}0\r\n\r\n`, expect: "bad_coding" },
  { name: "a coding that is not known", bytes: `${request("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`, expect: "unknown_coding" },
  { name: "two lines of coding", bytes: `${request("Transfer-Encoding: chunked", "Transfer-Encoding: identity")}0\r\n\r\n`, expect: "bad_coding" },
  { name: "the coding behind vertical white space", bytes: `${request("Transfer-Encoding: \x0bchunked")}0\r\n\r\n`, expect: "control_character" },
  { name: "the coding and NUL", bytes: `${request("Transfer-Encoding: chunked\0")}0\r\n\r\n`, expect: "control_character" },
  { name: "the coding with white space around it", bytes: `${request("Transfer-Encoding:\t chunked ")}0\r\n\r\n`, expect: 1 },
  { name: "the coding and a tab behind it", bytes: `${request("Transfer-Encoding: chunked\t")}0\r\n\r\n`, expect: "bad_coding" },
  { name: "the length and a tab behind it", bytes: `${request("Content-Length: 3 \t ")}abc`, expect: "bad_length" },
  { name: "the coding in capitals", bytes: `${request("TRANSFER-ENCODING: CHUNKED")}0\r\n\r\n`, expect: 1 },
  { name: "the coding in HTTP/1.0", bytes: "POST / HTTP/1.0\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", expect: "coding_in_1_0" },
  // Names that only some readers take for the header.
  { name: "a blank before the colon", bytes: `${request("Content-Length : 3")}abc`, expect: "blank_before_colon" },
  { name: "a tab before the colon", bytes: `${request("Transfer-Encoding\t: chunked")}0\r\n\r\n`, expect: "blank_before_colon" },
  { name: "a blank before the name", bytes: `${request(" Transfer-Encoding: chunked")}0\r\n\r\n`, expect: "obs_fold" },
  { name: "a folded line", bytes: `${request("X: a", " b")}`, expect: "obs_fold" },
  { name: "a folded coding", bytes: `${request("Transfer-Encoding:", " chunked")}0\r\n\r\n`, expect: "obs_fold" },
  { name: "a line without a colon", bytes: request("Transfer-Encoding"), expect: "no_colon" },
  { name: "NUL in a name", bytes: `${request("Transfer-Encoding\0: chunked")}0\r\n\r\n`, expect: "control_character" },
  { name: "an empty name", bytes: request(": x"), expect: "bad_field_name" },
  { name: "a name with a letter that is none", bytes: request("X\xe9: y"), expect: "bad_field_name" },
  // Line ends.
  { name: "LF alone behind the request line", bytes: "GET / HTTP/1.1\nHost: app.example.com\r\n\r\n", expect: "bare_lf" },
  { name: "LF alone behind a header", bytes: "GET / HTTP/1.1\r\nHost: app.example.com\nX: y\r\n\r\n", expect: "bare_lf" },
  { name: "LF alone at the end of the head", bytes: "GET / HTTP/1.1\r\nHost: app.example.com\r\n\n", expect: "bare_lf" },
  { name: "a coding behind LF alone", bytes: `${request("X: y\nTransfer-Encoding: chunked")}0\r\n\r\n`, expect: "bare_lf" },
  { name: "a coding behind CR alone", bytes: `${request("X: y\rTransfer-Encoding: chunked")}0\r\n\r\n`, expect: "bare_cr" },
  { name: "CR CR LF", bytes: "GET / HTTP/1.1\r\nHost: app.example.com\r\r\n\r\n", expect: "bare_cr" },
  { name: "NUL in a value", bytes: request("X: a\0b"), expect: "control_character" },
  { name: "DEL in a value", bytes: request("X: a\x7fb"), expect: "control_character" },
  { name: "octets above 127 in a value", bytes: request("X: a\xe9b"), expect: 1 },
  // Start lines.
  { name: "one blank line before", bytes: `\r\n${get}`, expect: 1 },
  { name: "two blank lines before", bytes: `\r\n\r\n${get}`, expect: "bad_method" },
  { name: "two blanks in the request line", bytes: "GET  / HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_request_line" },
  { name: "a tab in the request line", bytes: "GET\t/ HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "control_character" },
  { name: "a blank behind the version", bytes: "GET / HTTP/1.1 \r\nHost: app.example.com\r\n\r\n", expect: "bad_version" },
  { name: "a blank in the target", bytes: "GET /a b HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_version" },
  { name: "NUL in the target", bytes: "GET /a\0b HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "control_character" },
  { name: "an octet above 127 in the target", bytes: "GET /\xe9 HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "a fragment", bytes: "GET /a#b HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "HTTP/0.9", bytes: "GET /\r\n\r\n", expect: "bad_request_line" },
  { name: "13.58 HTTP/2.0 in the syntax of 1.1", bytes: "GET / HTTP/2.0\r\nHost: app.example.com\r\n\r\n", expect: "bad_version" },
  { name: "HTTP/1.2", bytes: "GET / HTTP/1.2\r\nHost: app.example.com\r\n\r\n", expect: "bad_version" },
  { name: "the preface of HTTP/2", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", expect: "bad_method" },
  { name: "a name in small letters", bytes: "GET / http/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_version" },
  { name: "a star for GET", bytes: "GET * HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "a host for a target", bytes: "GET app.example.com HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "a user in the target", bytes: "GET http://a@b/ HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "CONNECT with a path", bytes: "CONNECT / HTTP/1.1\r\nHost: app.example.com\r\n\r\n", expect: "bad_target" },
  { name: "CONNECT with a body", bytes: "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc", expect: "connect_with_body" },
  { name: "TLS", bytes: "\x16\x03\x01\x02\x00\x01", expect: "control_character" },
  // Host.
  { name: "no Host", bytes: "GET / HTTP/1.1\r\n\r\n", expect: "no_host" },
  { name: "two Hosts", bytes: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", expect: "several_hosts" },
  { name: "two Hosts in one line", bytes: "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", expect: "bad_host" },
  { name: "13.75 a script for a Host", bytes: "GET / HTTP/1.1\r\nHost: <script>\r\n\r\n", expect: "bad_host" },
  { name: "a path in Host", bytes: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", expect: "bad_host" },
  // Chunks.
  ...["", "g", "0x3", "+3", "-3", " 3", "3 ", "3\t", "00000000000003", "ffffffffffffffff", "3,3"].map((size): Case => ({ name: `the chunk size ${JSON.stringify(size)}`, bytes: `${chunked}${size}\r\nabc\r\n0\r\n\r\n`, expect: "bad_chunk_size" })),
  { name: "LF alone behind a chunk size", bytes: `${chunked}3\nabc\r\n0\r\n\r\n`, expect: "bare_lf" },
  { name: "CR alone behind a chunk size", bytes: `${chunked}3\rabc\r\n0\r\n\r\n`, expect: "bare_cr" },
  { name: "a chunk longer than it says", bytes: `${chunked}3\r\nabcd\r\n0\r\n\r\n`, expect: "bad_chunk_end" },
  { name: "LF alone behind a chunk", bytes: `${chunked}3\r\nabc\n0\r\n\r\n`, expect: "bad_chunk_end" },
  { name: "a chunk extension", bytes: `${chunked}3;a=b;c;d="e\\"f"\r\nabc\r\n0;x\r\n\r\n`, expect: 1 },
  { name: "LF alone in a chunk extension", bytes: `${chunked}3;a\nabc\r\n0\r\n\r\n`, expect: "bare_lf" },
  { name: "NUL in a chunk extension", bytes: `${chunked}3;a\0\r\nabc\r\n0\r\n\r\n`, expect: "bad_chunk_extension" },
  { name: "an open quote in a chunk extension", bytes: `${chunked}3;a="b\r\nabc\r\n0\r\n\r\n`, expect: "bad_chunk_extension" },
  { name: "a chunk extension without a name", bytes: `${chunked}3;=b\r\nabc\r\n0\r\n\r\n`, expect: "bad_chunk_extension" },
  { name: "chunk extensions without end", bytes: `${chunked}${`1;${"a".repeat(500)}\r\nx\r\n`.repeat(10)}0\r\n\r\n`, expect: "chunk_extensions_too_large" },
  { name: "trailers", bytes: `${chunked}3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n${get}`, expect: 2 },
  { name: "a length among the trailers", bytes: `${chunked}0\r\nContent-Length: 5\r\n\r\n`, expect: "forbidden_trailer" },
  { name: "a folded trailer", bytes: `${chunked}0\r\nX: a\r\n b\r\n\r\n`, expect: "obs_fold" },
  { name: "trailers without end", bytes: `${chunked}0\r\n${`X: ${"a".repeat(1_000)}\r\n`.repeat(20)}\r\n`, expect: "trailers_too_large" },
  // Too much of everything.
  { name: "13.73 a long target", bytes: `GET /${"a".repeat(70_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, expect: "head_too_large" },
  { name: "13.73 a long value", bytes: request(`X: ${"a".repeat(70_000)}`), expect: "head_too_large" },
  { name: "13.73 a long name", bytes: request(`${"a".repeat(70_000)}: x`), expect: "head_too_large" },
  { name: "13.73 many small headers", bytes: request(...Array.from({ length: 1_001 }, (_, n) => `X-${n}: y`)), expect: "too_many_headers" },
  { name: "a head that does not end", bytes: `GET / HTTP/1.1\r\n${"X: y\r\n".repeat(20_000)}`, expect: "too_many_headers" },
  // Sound ones, one after the other.
  { name: "three requests in one piece", bytes: `${get}${request("Content-Length: 3")}abc${get}`, expect: 3 },
  { name: "a body that looks like a request", bytes: `${request(`Content-Length: ${smuggled.length}`)}${smuggled}${get}`, expect: 2 },
];

const answer = (...lines: string[]): string => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

/** Ambiguous responses: what they answer is a GET. */
export const responseCases: readonly Case[] = [
  { name: "length and coding", bytes: `${answer("Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n`, expect: "length_with_coding" },
  { name: "two lengths", bytes: `${answer("Content-Length: 3", "Content-Length: 5")}abcde`, expect: "several_lengths" },
  { name: "a signed length", bytes: `${answer("Content-Length: +3")}abc`, expect: "bad_length" },
  { name: "the coding twice", bytes: `${answer("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")}0\r\n\r\n`, expect: "bad_coding" },
  { name: "a coding without chunked", bytes: `${answer("Transfer-Encoding: gzip")}x`, expect: "bad_coding" },
  { name: "a folded line", bytes: answer("X: a", "\tb"), expect: "obs_fold" },
  { name: "LF alone", bytes: "HTTP/1.1 200 OK\nX: y\n\n", expect: "bare_lf" },
  { name: "NUL in the reason", bytes: "HTTP/1.1 200 O\0K\r\n\r\n", expect: "control_character" },
  { name: "no reason", bytes: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", expect: 1 },
  { name: "a status of two digits", bytes: "HTTP/1.1 20 OK\r\n\r\n", expect: "bad_status_line" },
  { name: "a status of four digits", bytes: "HTTP/1.1 2000 OK\r\n\r\n", expect: "bad_status_line" },
  { name: "another protocol", bytes: "SSH-2.0-OpenSSH_9.6\r\n", expect: "bad_status_line" },
  { name: "another version", bytes: "HTTP/2.0 200 OK\r\n\r\n", expect: "bad_version" },
  { name: "an interim one with a body", bytes: "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc", expect: "interim_with_body" },
  { name: "interim ones, then the answer", bytes: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", expect: 3 },
  { name: "until the connection ends", bytes: "HTTP/1.1 200 OK\r\n\r\nwhatever HTTP/1.1 200 OK\r\n\r\n", expect: 1 },
  { name: "too large a head", bytes: answer(`X: ${"a".repeat(70_000)}`), expect: "head_too_large" },
];
