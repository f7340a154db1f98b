import { Readable } from "node:stream";
import type { ReadableStream as WebStream } from "node:stream/web";
import type { Content } from "./content.ts";
import { contentDigestOf, parseContentDigest } from "./digest.ts";
import { BlobError, fromWire } from "./errors.ts";
import type { BlobSource } from "./ingest.ts";
import { checkKey, checkSha1 } from "./key.ts";
import { createLinkSigner, type Grant } from "./links.ts";
import { globalFetch, systemClock, type Clock, type Fetch } from "./ports.ts";

export interface BlobClientOptions {
  /** Where the blobstore is at the moment, such as `http://10.0.0.5:4000`; asked at each call. */
  baseUrl: () => Promise<string>;
  /** The secret of the server. */
  secret: string;
  fetch?: Fetch;
  clock?: Clock;
  /** A whole transfer. Default 900 000 ms. */
  transferTimeoutMs?: number;
  /** Everything else. Default 30 000 ms. */
  timeoutMs?: number;
}

export interface BlobDownload extends Content {
  stream: Readable;
}

export interface TransferOptions {
  signal?: AbortSignal | undefined;
}

export interface UploadOptions extends TransferOptions {
  /** The most that is taken. Default: what the server allows. */
  maxBytes?: number | undefined;
  /** Hexadecimal; the upload fails with BLOB_DIGEST_MISMATCH when something else arrives. */
  sha256?: string | undefined;
}

/** The blobstore from another part's side. Everything throws `BlobError`; `retryable` says whether trying again makes sense. */
export interface BlobClient {
  put(key: string, source: BlobSource, options?: UploadOptions): Promise<Content>;
  /** @throws BlobError BLOB_NOT_FOUND */
  get(key: string, options?: TransferOptions): Promise<BlobDownload>;
  head(key: string): Promise<Content | undefined>;
  exists(key: string): Promise<boolean>;
  /** Whether it was there. */
  delete(key: string): Promise<boolean>;
  /** Deletes all keys below a prefix that ends in `/`; answers how many. */
  deleteAll(prefix: string): Promise<number>;
  list(prefix: string): Promise<string[]>;
  copy(from: string, to: string): Promise<Content>;
  /** A link that anybody may use once or often until it expires. */
  url(key: string, method: "GET" | "PUT" | "DELETE", expiresMs: number, options?: { maxBytes?: number }): Promise<string>;
  /** Which of these the resource pool holds. */
  poolHas(sha1s: readonly string[]): Promise<{ sha1: string; sizeBytes: number }[]>;
  poolPut(sha1: string, source: BlobSource, options?: TransferOptions): Promise<Content>;
  /** @throws BlobError BLOB_NOT_FOUND */
  poolGet(sha1: string, options?: TransferOptions): Promise<BlobDownload>;
}

/** How many digests go into one question to the pool. */
const poolBatch = 10_000;

export function createBlobClient(options: BlobClientOptions): BlobClient {
  const { baseUrl, secret, fetch = globalFetch, clock = systemClock, transferTimeoutMs = 900_000, timeoutMs = 30_000 } = options;
  const signer = createLinkSigner(secret);

  const link = async (grant: Omit<Grant, "expiresMs">, validMs: number): Promise<string> =>
    (await baseUrl()).replace(/\/$/, "") + signer.sign({ ...grant, expiresMs: Math.floor(clock.now() + validMs) });

  interface Sending extends TransferOptions {
    limitMs?: number;
    body?: BlobSource | string;
    headers?: Record<string, string>;
    /** The verb, when it is not that of the grant. */
    verb?: string;
  }

  async function call(grant: Omit<Grant, "expiresMs">, { body, signal, limitMs = timeoutMs, headers = {}, verb }: Sending = {}): Promise<Response> {
    const limit = AbortSignal.any([AbortSignal.timeout(limitMs), ...(signal ? [signal] : [])]);
    try {
      const init: Parameters<Fetch>[1] = { method: verb ?? grant.method, headers, signal: limit, redirect: "error" };
      if (body !== undefined) Object.assign(init, { body: toBody(body), duplex: "half" });
      return await fetch(await link(grant, limitMs), init);
    } catch (error) {
      signal?.throwIfAborted();
      throw new BlobError("BLOB_UNAVAILABLE", "The blobstore cannot be reached", { cause: error });
    }
  }

  async function expectOk(response: Response): Promise<Response> {
    if (response.ok) return response;
    throw fromWire(response.status, await response.json().catch(() => undefined));
  }

  const content = async (response: Response): Promise<Content> => {
    const { sha1, sha256, size_bytes } = (await (await expectOk(response)).json()) as { sha1: string; sha256: string; size_bytes: number };
    return { sha1, sha256, sizeBytes: size_bytes };
  };
  const download = async (response: Response): Promise<BlobDownload> => {
    await expectOk(response);
    const stream = response.body ? Readable.fromWeb(response.body as WebStream<Uint8Array>) : Readable.from([]);
    return { ...contentOf(response), stream };
  };
  const blob = (key: string) => `/blobs/${checkKey(key)}`;
  const folder = (prefix: string) => {
    if (!prefix.endsWith("/")) throw new BlobError("BLOB_KEY_INVALID", "A prefix ends in a slash");
    return `/blobs/${checkKey(prefix.slice(0, -1))}/`;
  };
  const head = async (key: string): Promise<Content | undefined> => {
    const response = await call({ method: "GET", path: blob(key) }, { verb: "HEAD" });
    if (response.status === 404) return undefined;
    return contentOf(await expectOk(response));
  };

  return {
    head,
    exists: async (key) => (await head(key)) !== undefined,
    async put(key, source, { maxBytes, sha256, signal } = {}) {
      const headers: Record<string, string> = sha256 === undefined ? {} : { "Content-Digest": contentDigestOf(sha256) };
      return content(await call({ method: "PUT", path: blob(key), maxBytes }, { body: source, headers, signal, limitMs: transferTimeoutMs }));
    },
    get: async (key, { signal } = {}) => download(await call({ method: "GET", path: blob(key) }, { signal, limitMs: transferTimeoutMs })),
    async delete(key) {
      const response = await call({ method: "DELETE", path: blob(key) });
      if (response.status === 404) return false;
      await expectOk(response);
      return true;
    },
    async deleteAll(prefix) {
      const response = await expectOk(await call({ method: "DELETE", path: folder(prefix) }));
      return ((await response.json()) as { deleted: number }).deleted;
    },
    async list(prefix) {
      const response = await expectOk(await call({ method: "GET", path: folder(prefix) }));
      return ((await response.json()) as { keys: string[] }).keys;
    },
    copy: async (from, to) => content(await call({ method: "PUT", path: blob(to), from: checkKey(from) })),
    url: (key, method, expiresMs, { maxBytes } = {}) => link({ method, path: blob(key), maxBytes }, expiresMs),
    async poolHas(sha1s) {
      const found: { sha1: string; sizeBytes: number }[] = [];
      for (let start = 0; start < sha1s.length; start += poolBatch) {
        const body = JSON.stringify({ sha1s: sha1s.slice(start, start + poolBatch) });
        const response = await expectOk(await call({ method: "POST", path: "/pool" }, { body }));
        const { resources } = (await response.json()) as { resources: { sha1: string; size_bytes: number }[] };
        found.push(...resources.map(({ sha1, size_bytes }) => ({ sha1, sizeBytes: size_bytes })));
      }
      return found;
    },
    poolPut: async (sha1, source, { signal } = {}) =>
      content(await call({ method: "PUT", path: `/pool/${checkSha1(sha1)}` }, { body: source, signal, limitMs: transferTimeoutMs })),
    poolGet: async (sha1, { signal } = {}) =>
      download(await call({ method: "GET", path: `/pool/${checkSha1(sha1)}` }, { signal, limitMs: transferTimeoutMs })),
  };
}

function contentOf(response: Response): Content {
  const digests = parseContentDigest(response.headers.get("content-digest") ?? undefined);
  const hex = (algorithm: string) => digests.find((one) => one.algorithm === algorithm)?.value.toString("hex") ?? "";
  return { sha1: hex("sha1"), sha256: hex("sha256"), sizeBytes: Number(response.headers.get("content-length") ?? 0) };
}

function toBody(source: BlobSource | string): RequestInit["body"] {
  if (typeof source === "string" || source instanceof Uint8Array || source instanceof ReadableStream)
    return source as RequestInit["body"];
  const readable = source instanceof Readable ? source : Readable.from(source);
  return Readable.toWeb(readable) as unknown as RequestInit["body"];
}
