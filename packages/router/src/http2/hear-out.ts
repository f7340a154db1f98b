import type { Http2Session, Http2Stream } from "node:http2";

/** By connection, its streams that are not gone. */
const held = new WeakMap<Http2Session, Set<Http2Stream>>();

/**
 * Has a stream that both sides have ended be heard to its end, also where its connection ends before that: node:http2 throws away with
 * the connection what nobody has read. Who reads it slowly gets the rest at once, no more than the stream's window.
 */
export function hearOut(session: Http2Session, stream: Http2Stream): void {
  const streams = held.get(session) ?? watch(session);
  streams.add(stream);
  stream.once("close", () => streams.delete(stream));
}

function watch(session: Http2Session): Set<Http2Stream> {
  const streams = new Set<Http2Stream>();
  held.set(session, streams);
  // Before node:http2 hears of it.
  session.socket.prependListener("close", () => {
    for (const stream of streams) {
      if (stream.closed && stream.rstCode === 0) while (stream.read() !== null);
    }
  });
  return streams;
}
