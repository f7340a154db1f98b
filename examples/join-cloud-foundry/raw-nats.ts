import { once } from "node:events";
import { connect } from "node:net";

/** The NATS protocol by hand, so that the other side of the wire has nothing of ours: text lines, and JSON between them. */
export interface RawNats extends Disposable {
  publish(subject: string, body?: unknown): void;
  subscribe(subject: string, hear: (body: unknown, subject: string) => void): void;
}

export async function connectRaw(url: string): Promise<RawNats> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port === "" ? 4222 : port), hostname);
  const hearing = new Map<string, (body: unknown, subject: string) => void>();
  let received = Buffer.alloc(0);
  let subscriptions = 0;

  /** Takes one line, and for a message the body after it; false when it has not come whole. */
  const takeOne = (): boolean => {
    const end = received.indexOf("\r\n");
    if (end < 0) return false;
    const [verb, subject = "", sid = "", ...rest] = received.subarray(0, end).toString().split(" ");
    let next = end + 2;
    if (verb === "MSG") {
      const size = Number(rest.at(-1));
      if (received.length < next + size + 2) return false;
      const text = received.subarray(next, next + size).toString();
      next += size + 2;
      hearing.get(sid)?.(text === "" ? undefined : JSON.parse(text), subject);
    } else if (verb === "PING") socket.write("PONG\r\n");
    received = received.subarray(next);
    return true;
  };

  await once(socket, "connect");
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (takeOne());
  });
  socket.write('CONNECT {"verbose":false,"pedantic":false,"lang":"plain","version":"0"}\r\n');
  return {
    publish(subject, body) {
      const text = body === undefined ? "" : JSON.stringify(body);
      socket.write(`PUB ${subject} ${Buffer.byteLength(text)}\r\n${text}\r\n`);
    },
    subscribe(subject, hear) {
      const sid = String(++subscriptions);
      hearing.set(sid, hear);
      socket.write(`SUB ${subject} ${sid}\r\n`);
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}
