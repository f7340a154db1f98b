import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import type { Readable } from "node:stream";
import type { Content } from "./content.ts";
import { contentDigestOf, parseContentDigest } from "./digest.ts";
import { asBlobError, BlobError, failureRules, toWire } from "./errors.ts";
import type { Blobstore } from "./folder.ts";
import { createLinkSigner, type Grant } from "./links.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";

export interface BlobServerOptions {
  store: Blobstore;
  /** Signs the links; at least 16 characters, the same for every client. */
  secret: string;
  /** Default `127.0.0.1`. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  /** A transfer that stands still for this long is cut. Default 60 000 ms. */
  idleTimeoutMs?: number;
  logger?: Logger;
  clock?: Clock;
}

export interface BlobServer extends AsyncDisposable {
  host: string;
  port: number;
  /** `http://host:port` */
  url: string;
}

/** The longest list of digests, in bytes, that one question to the pool may hold: room for 20 000. */
const maxQuestionBytes = 1024 * 1024;
/** How much of a refused body is read and thrown away, so that the sender gets to see the answer. */
const maxDrainBytes = 16 * 1024 * 1024;

/**
 * The blobstore over HTTP. Every request but `GET /healthz` carries a signed, expiring grant in its query
 * (see links.ts); whoever holds a link needs nothing else, and can do nothing else with it.
 *
 * `GET|HEAD|PUT|DELETE /blobs/<key>` · `PUT /blobs/<key>` with a signed `from`: copy · `GET|DELETE /blobs/<prefix>/`: list, delete all ·
 * `POST /pool`: which of these SHA-1 · `GET|PUT /pool/<sha1>`
 */
export async function startBlobs(options: BlobServerOptions): Promise<BlobServer> {
  const { store, secret, host = "127.0.0.1", port = 0, idleTimeoutMs = 60_000, logger = silentLogger, clock = systemClock } = options;
  const signer = createLinkSigner(secret);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://blobs");
    if (url.pathname === "/healthz") return void response.end("ok");
    const grant = signer.verify(request.method ?? "GET", url, clock.now());
    const [, room, ...rest] = url.pathname.split("/");
    const name = rest.join("/");
    const door = doors.find((one) => one.room === room && one.method === grant.method && one.when(name, grant));
    if (!door) throw new BlobError("BLOB_REQUEST_INVALID", "No such door");
    await door.open({ name, grant, store, request, response });
  }

  let running = 0;
  const server = createServer({ requestTimeout: 0, headersTimeout: 15_000, keepAliveTimeout: 5_000 }, (request, response) => {
    running += 1;
    response.once("close", () => (running -= 1));
    handle(request, response).catch((thrown: unknown) => {
      const error = asBlobError(thrown);
      if (!request.destroyed || request.complete)
        logger[failureRules[error.code].status >= 500 ? "error" : "info"]("blobs.refused", {
          method: request.method,
          path: request.url?.split("?", 1)[0],
          code: error.code,
          cause: (error.cause as Error | undefined)?.message,
        });
      refuse(request, response, error);
    });
  });
  server.timeout = idleTimeoutMs;
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  const bound = (server.address() as AddressInfo).port;
  let closing: Promise<void> | undefined;
  return {
    host,
    port: bound,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    [Symbol.asyncDispose]: () => (closing ??= close(server, () => running)),
  };
}

interface Call {
  name: string;
  grant: Grant;
  store: Blobstore;
  request: IncomingMessage;
  response: ServerResponse;
}

interface Door {
  room: "blobs" | "pool";
  method: Grant["method"];
  when(name: string, grant: Grant): boolean;
  open(call: Call): Promise<void>;
}

const isKey = (name: string) => name !== "" && !name.endsWith("/");
const isPrefix = (name: string) => name.endsWith("/");

const doors: readonly Door[] = [
  { room: "blobs", method: "GET", when: isKey, open: async (call) => send(call, call.request.method === "HEAD" ? head(call) : await call.store.get(call.name)) },
  { room: "blobs", method: "GET", when: isPrefix, open: async ({ name, store, response }) => json(response, 200, { keys: store.list(name) }) },
  {
    room: "blobs",
    method: "PUT",
    when: (name, { from }) => isKey(name) && from !== undefined,
    open: async ({ name, grant, store, response }) => json(response, 201, wireInfo(await store.copy(grant.from ?? "", name))),
  },
  {
    room: "blobs",
    method: "PUT",
    when: isKey,
    async open({ name, grant, store, request, response }) {
      const maxBytes = Math.min(grant.maxBytes ?? Infinity, store.maxBlobBytes);
      if (Number(request.headers["content-length"] ?? 0) > maxBytes)
        throw new BlobError("BLOB_TOO_LARGE", `More than the ${maxBytes} bytes that are allowed here`);
      const { "content-digest": digest, "content-md5": md5 } = request.headers;
      const expected = parseContentDigest(digest?.toString(), md5?.toString());
      json(response, 201, wireInfo(await store.put(name, request, { maxBytes, expected })));
    },
  },
  {
    room: "blobs",
    method: "DELETE",
    when: isKey,
    async open({ name, store, response }) {
      const existed = await store.delete(name);
      response.writeHead(existed ? 204 : 404).end();
    },
  },
  { room: "blobs", method: "DELETE", when: isPrefix, open: async ({ name, store, response }) => json(response, 200, { deleted: await store.deleteAll(name) }) },
  {
    room: "pool",
    method: "POST",
    when: (name) => name === "",
    async open({ store, request, response }) {
      const sha1s = await readQuestion(request);
      json(response, 200, { resources: store.pool.has(sha1s).map(({ sha1, sizeBytes }) => ({ sha1, size_bytes: sizeBytes })) });
    },
  },
  { room: "pool", method: "GET", when: isKey, open: async (call) => send(call, await call.store.pool.get(call.name)) },
  { room: "pool", method: "PUT", when: isKey, open: async ({ name, store, request, response }) => json(response, 201, wireInfo(await store.pool.put(name, request))) },
];

function head({ name, store }: Call): { info: Content } {
  const info = store.head(name);
  if (!info) throw new BlobError("BLOB_NOT_FOUND", "No such blob");
  return { info };
}

async function send({ request, response }: Call, { info, stream }: { info: Content; stream?: Readable }): Promise<void> {
  const etag = `"${info.sha256}"`;
  const headers = {
    ETag: etag,
    "Content-Digest": `${contentDigestOf(info.sha256)}, sha=:${Buffer.from(info.sha1, "hex").toString("base64")}:`,
    "Cache-Control": "private, no-transform",
  };
  if (request.headers["if-none-match"] === etag) {
    stream?.destroy();
    return void response.writeHead(304, headers).end();
  }
  response.writeHead(200, { ...headers, "Content-Type": "application/octet-stream", "Content-Length": info.sizeBytes });
  if (!stream || request.method === "HEAD") {
    stream?.destroy();
    return void response.end();
  }
  // A reader that goes away is its own affair; the pipeline closes the file.
  await pipeline(stream, response).catch(() => response.destroy());
}

async function readQuestion(request: IncomingMessage): Promise<string[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxQuestionBytes) throw new BlobError("BLOB_TOO_LARGE", "Too many digests in one question");
    chunks.push(chunk as Buffer);
  }
  try {
    const { sha1s } = JSON.parse(Buffer.concat(chunks).toString()) as { sha1s: unknown };
    if (Array.isArray(sha1s)) return sha1s.filter((sha1) => typeof sha1 === "string");
  } catch {
    // Answered below.
  }
  throw new BlobError("BLOB_REQUEST_INVALID", 'Expected {"sha1s": [...]}');
}

const wireInfo = ({ sha1, sha256, sizeBytes }: Content) => ({ sha1, sha256, size_bytes: sizeBytes });

function json(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }).end(text);
}

function refuse(request: IncomingMessage, response: ServerResponse, error: BlobError): void {
  if (response.headersSent || response.destroyed || (request.destroyed && !request.complete)) return void request.socket.destroy();
  if (!request.complete) {
    response.setHeader("Connection", "close");
    let drained = 0;
    request.on("data", (chunk: Buffer) => {
      drained += chunk.length;
      if (drained > maxDrainBytes) request.destroy();
    });
    request.on("error", () => {});
    request.resume();
  }
  json(response, failureRules[error.code].status, toWire(error));
}

/** Lets running transfers finish for two seconds; connections without one are cut at once. */
async function close(server: Server, running: () => number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (let waitedMs = 0; running() > 0 && waitedMs < 2_000; waitedMs += 20) await new Promise((resolve) => setTimeout(resolve, 20));
  server.closeAllConnections();
  await closed;
}
