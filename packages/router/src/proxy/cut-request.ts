import type { HeaderBlock } from "../http1/head.ts";
import { linesWithout, markNumbers, valueAt } from "../http1/marks.ts";
import {
  bitsOf, CLIENT_CERTIFICATE, CONNECTION, EXPECT, FORWARDED_FOR, FORWARDED_PROTO, HOST, IDEMPOTENCY_KEY, INSTANCE, KEEP_ALIVE, OF_REQUEST,
  PROXY_CONNECTION, REFERER, REQUEST_ID, REQUEST_START, TE, TRAILER, TRANSFER_ENCODING, UNDERSCORED, UPGRADE, USER_AGENT,
} from "../http1/names.ts";
import { isFieldValue } from "../http1/octets.ts";
import type { Exchange } from "./exchange.ts";
import { believes, forwardedForOf, forwardedProtoOf, shownCertificate } from "./headers.ts";
import type { Lines } from "./lines.ts";
import type { Forwarding, Spoken } from "./passage.ts";

/** What becomes of the header lines of a request, in the words of `buildRequestHeaders`. */
export interface CutRequest extends Spoken {
  readonly lines: Lines;
  readonly forwarding: Forwarding;
}

/** With these more has to be done than to pass a line on or to leave it out. */
const unusual = bitsOf(TE, TRAILER, CLIENT_CERTIFICATE, UNDERSCORED);
/** These do not reach the app: they speak of the connection, or the router has words of its own for them. */
const dropped = bitsOf(
  HOST, EXPECT, UPGRADE, CONNECTION, TRANSFER_ENCODING, KEEP_ALIVE, PROXY_CONNECTION, OF_REQUEST, REQUEST_ID, INSTANCE, FORWARDED_FOR, FORWARDED_PROTO, REQUEST_START,
);

/**
 * The lines for the app where they can be cut out of those of the client as they stand: what `buildRequestHeaders` says of them, without
 * taking them apart and putting them together again. The reader has looked at every letter of them. Undefined where there is more to be done.
 */
export function cutRequest(exchange: Exchange, block: HeaderBlock): CutRequest | undefined {
  if (!block.isRegular || block.namesOptions || (block.seen & unusual) !== 0 || exchange.viaRouteService || !isFieldValue(exchange.peerAddress)) return undefined;
  const { marks } = block;
  let [givenFor, givenProto, requestStart, idempotencyKey] = ["", "", "", false];
  let referer: string | undefined;
  let userAgent: string | undefined;
  for (let at = 0; at < marks.length; at += markNumbers) {
    switch (marks[at]) {
      case FORWARDED_FOR: givenFor = givenFor === "" ? valueAt(block, at) : `${givenFor}, ${valueAt(block, at)}`; break;
      case FORWARDED_PROTO: givenProto = valueAt(block, at); break;
      case REQUEST_START: requestStart = valueAt(block, at); break;
      case IDEMPOTENCY_KEY: idempotencyKey = true; break;
      case REFERER: referer ??= valueAt(block, at); break;
      case USER_AGENT: userAgent ??= valueAt(block, at); break;
      default: break;
    }
  }
  if ((givenFor !== "" || givenProto !== "") && !believes(exchange)) givenFor = givenProto = "";
  const forwardedFor = forwardedForOf(exchange, givenFor);
  const forwardedProto = forwardedProtoOf(exchange, givenProto);
  let lines = `Host: ${exchange.host}\r\n${linesWithout(block, dropped)}X-Forwarded-For: ${forwardedFor}\r\nX-Forwarded-Proto: ${forwardedProto}\r\n`;
  const shown = shownCertificate(exchange);
  if (shown !== undefined) lines += `X-Forwarded-Client-Cert: ${shown}\r\n`;
  return {
    lines: { text: lines, length: block.length }, forwarding: { forwardedFor, forwardedProto, requestStart, idempotencyKey },
    referer: referer ?? "", userAgent: userAgent ?? "",
  };
}
