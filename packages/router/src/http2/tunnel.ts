import { constants, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Upgrade } from "../proxy/exchange.ts";
import { answerHeaders } from "./head.ts";

/** Names of the handshake that has no place here: the stream itself is the tunnel (RFC 8441, 5). */
const handshake = new Set(["sec-websocket-accept"]);

/** The stream of an extended CONNECT as what `Upgrade` gives over HTTP/1.1: a connection that leaves HTTP when it is told so. */
export function upgradeOf(stream: ServerHttp2Stream): Upgrade {
  const socket = stream as unknown as Duplex & { destroySoon: () => void; resetAndDestroy: () => void };
  // As a socket does: what is written is delivered, and then nothing is heard any more.
  socket.destroySoon = () => {
    if (stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR);
    else stream.end(() => stream.close(constants.NGHTTP2_NO_ERROR));
  };
  // What a reset is here (RFC 8441, 5).
  socket.resetAndDestroy = () => stream.close(constants.NGHTTP2_CANCEL);
  return {
    socket,
    // Flow control holds back what the client says before it is heard; its leaving closes the response.
    release: () => Buffer.alloc(0),
    accept(status, flat) {
      const headers = answerHeaders(flat);
      for (const name of handshake) delete headers[name];
      stream.respond({ ":status": status === 101 ? 200 : status, ...headers });
    },
  };
}
