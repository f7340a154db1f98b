import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BusError } from "./errors.ts";

export type Handler = (request: Request) => Response | Promise<Response>;

/** A small HTTP side that listens. Disposing it ends every connection. */
export interface HttpListener extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/**
 * Puts a `Request -> Response` function on a port, for status pages and the like; bodies up to 64 KiB.
 * @param options `port` 0 (default) takes a free one; `host` default 127.0.0.1
 * @throws BusError `BUS_PORT_TAKEN`
 */
export async function listen(handle: Handler, { host = "127.0.0.1", port = 0 }: { host?: string; port?: number } = {}): Promise<HttpListener> {
  const server = createServer((incoming, outgoing) => void answer(handle, incoming, outgoing));
  server.requestTimeout = 10_000;
  await new Promise<void>((done, fail) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      fail(new BusError("BUS_PORT_TAKEN", `cannot listen on ${host}:${port} (${cause.code ?? cause.message}): choose another port`, { cause })));
    server.listen(port, host, done);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    host,
    port: bound,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function answer(handle: Handler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  try {
    const body = incoming.method === "GET" || incoming.method === "HEAD" ? undefined : await read(incoming);
    const headers = new Headers();
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.append(incoming.rawHeaders[i] as string, incoming.rawHeaders[i + 1] as string);
    const response = await handle(new Request(`http://${incoming.headers.host ?? "localhost"}${incoming.url ?? "/"}`, {
      method: incoming.method ?? "GET", headers, ...(body && { body }),
    }));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(Buffer.from(await response.arrayBuffer()));
  } catch {
    if (!outgoing.headersSent) outgoing.writeHead(500, { "content-type": "text/plain" });
    outgoing.end("internal error\n");
  }
}

async function read(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > 65_536) throw new BusError("BUS_PAYLOAD_TOO_LARGE", "the body is larger than 64 KiB");
    parts.push(part);
  }
  return Buffer.concat(parts);
}
