import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import type { BrokerApi } from "./broker-api.ts";
import { BrokerError } from "./errors.ts";
import { silentLogger, type Logger } from "./ports.ts";

/** Makes the function fit `node:http`, and with it Express and everything else that takes a listener. */
export function toNodeListener(api: BrokerApi, { log = silentLogger }: { log?: Logger } = {}): RequestListener {
  return (incoming, outgoing) => {
    answer(api, incoming, outgoing).catch((error: unknown) => {
      log.error("broker.listener.failed", { reason: error instanceof Error ? error.message : String(error) });
      if (!outgoing.headersSent) outgoing.writeHead(500, { "content-type": "application/json" }).end('{"description":"the broker failed"}');
      else outgoing.destroy();
    });
  };
}

async function answer(api: BrokerApi, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const request = toRequest(incoming);
  if (request === undefined) {
    outgoing.writeHead(400, { "content-type": "application/json" }).end('{"description":"the request line or a header cannot be read"}');
    return;
  }
  const response = await api(request);
  const body = Buffer.from(await response.arrayBuffer());
  const headers: Record<string, string | number> = { ...Object.fromEntries(response.headers), "content-length": body.byteLength };
  // What is left of a refused body is not waited for.
  if (!incoming.complete && incoming.method !== "GET") headers["connection"] = "close";
  outgoing.writeHead(response.status, headers).end(incoming.method === "HEAD" ? undefined : body);
}

function toRequest(incoming: IncomingMessage): Request | undefined {
  try {
    const headers = new Headers();
    for (const [name, values] of Object.entries(incoming.headersDistinct)) for (const value of values ?? []) headers.append(name, value);
    const { method = "GET", url = "/" } = incoming;
    // The path is all that counts; a host from the outside is not trusted with building the address.
    const address = new URL(`http://broker${url.startsWith("/") ? url : new URL(url).pathname + new URL(url).search}`);
    if (method === "GET" || method === "HEAD") return new Request(address, { method, headers });
    const init: RequestInit & { duplex: "half" } = { method, headers, body: Readable.toWeb(incoming) as ReadableStream, duplex: "half" };
    return new Request(address, init);
  } catch {
    return undefined;
  }
}

export interface ServeOptions {
  /** Default 8080; 0 = a free one. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Time calls under way are given when the server is closed. Default 10 000 ms. */
  graceMs?: number;
  log?: Logger;
}

export interface BrokerServer extends AsyncDisposable {
  port: number;
  url: string;
}

/** Puts a broker on a port of its own. Rejects with `BROKER_INVALID_OPTIONS` when the port cannot be had. */
export async function serve(api: BrokerApi, options: ServeOptions = {}): Promise<BrokerServer> {
  const { port = 8080, host = "127.0.0.1", graceMs = 10_000, log = silentLogger } = options;
  const server = createServer(toNodeListener(api, { log }));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new BrokerError("BROKER_INVALID_OPTIONS", `cannot listen on ${host}:${port}`, { cause })));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => { clearTimeout(timer); resolve(); });
    server.closeIdleConnections();
  });
  return {
    port: address.port,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}
