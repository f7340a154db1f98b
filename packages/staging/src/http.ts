import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fetch as undiciFetch, request } from "undici";
import { StagingError, type StagingErrorCode } from "./errors.ts";
import { maskSecrets, splitCredentials } from "./mask.ts";
import type { Fetch } from "./ports.ts";

export interface TransferOptions {
  signal: AbortSignal;
  /** Tries in all, with growing pauses; only what can pass by itself (no connection, 408, 429, 5xx) is tried again. Default 4. */
  attempts?: number;
  /** Limit for one try. Default 10 minutes. */
  timeoutMs?: number;
  /** First pause between tries; doubles. Default 500 ms. */
  pauseMs?: number;
  fetch?: Fetch;
}

/** A refusal that another try will not change. */
class Refused extends Error {}

const passing = (status: number): boolean => status === 408 || status === 429 || status >= 500;

/**
 * Fetches a URL into a file, following redirects; credentials in the URL become a header and are never shown.
 * @returns false on 404 when `optional`
 * @throws StagingError `code` (the caller's), or the signal's reason
 */
export async function download(
  url: string,
  file: string,
  { signal, attempts = 4, timeoutMs = 600_000, pauseMs = 500, fetch = undiciFetch as unknown as Fetch, maxBytes, sha256, optional = false, code, mismatch = code, what }:
    Omit<TransferOptions, "fetch"> & { fetch?: Fetch | undefined; maxBytes: number; sha256?: string | undefined; optional?: boolean; code: StagingErrorCode; mismatch?: StagingErrorCode; what: string },
): Promise<boolean> {
  return retry({ signal, attempts, timeoutMs, pauseMs, code, what: `${what} from ${maskSecrets(url)}` }, async (limit) => {
    const { url: clean, authorization } = splitCredentials(new URL(url));
    const response = await fetch(clean.href, { redirect: "follow", signal: limit, headers: authorization === undefined ? {} : { authorization } });
    if (response.status === 404 && optional) {
      await discard(response.body);
      return false;
    }
    if (!response.ok) {
      await discard(response.body);
      throw new (passing(response.status) ? Error : Refused)(`the server answered ${response.status}`);
    }
    const hash = createHash("sha256");
    let bytes = 0;
    const meter = new Transform({
      transform(chunk: Buffer, _, done) {
        bytes += chunk.length;
        hash.update(chunk);
        done(bytes > maxBytes ? new Refused(`it is larger than ${maxBytes} bytes`) : null, chunk);
      },
    });
    try {
      await pipeline(Readable.from(response.body ?? []), meter, createWriteStream(file, { mode: 0o600 }), { signal: limit });
      if (sha256 !== undefined && hash.digest("hex") !== sha256.toLowerCase()) throw new StagingError(mismatch, `${what} from ${maskSecrets(url)} is not the expected one: its sha256 differs`, { phase: "transfer" });
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
    return true;
  });
}

/**
 * Sends a file by HTTP PUT with `Content-Length` and `Content-Digest` (RFC 9530), from its start again on each try.
 * @throws StagingError `code` (the caller's), or the signal's reason
 */
export async function upload(
  url: string,
  file: string,
  { signal, attempts = 4, timeoutMs = 600_000, pauseMs = 500, sha256, code, what, type = "application/gzip" }:
    Omit<TransferOptions, "fetch"> & { sha256: string; code: StagingErrorCode; what: string; type?: string },
): Promise<void> {
  const { size } = await stat(file);
  await retry({ signal, attempts, timeoutMs, pauseMs, code, what: `${what} to ${maskSecrets(url)}` }, async (limit) => {
    const { url: clean, authorization } = splitCredentials(new URL(url));
    const response = await request(clean, {
      method: "PUT",
      signal: limit,
      body: createReadStream(file),
      headers: {
        "content-type": type,
        "content-length": String(size),
        "content-digest": `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`,
        ...(authorization !== undefined && { authorization }),
      },
    });
    const text = (await readStart(response.body)).trim();
    if (response.statusCode >= 300)
      throw new (passing(response.statusCode) ? Error : Refused)(`the server answered ${response.statusCode}${text === "" ? "" : ` (${maskSecrets(text)})`}`);
  });
}

async function retry<T>(
  { signal, attempts, timeoutMs, pauseMs, code, what }: { signal: AbortSignal; attempts: number; timeoutMs: number; pauseMs: number; code: StagingErrorCode; what: string },
  attempt: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let number = 1; ; number++) {
    signal.throwIfAborted();
    const limit = new AbortController();
    const stop = (): void => limit.abort(signal.reason);
    const timer = setTimeout(() => limit.abort(new Error(`no end within ${timeoutMs} ms`)), timeoutMs);
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await attempt(limit.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StagingError) throw error;
      const errno = (error as NodeJS.ErrnoException).code;
      if (errno === "ENOSPC" || errno === "EDQUOT") throw new StagingError("STAGING_DISK_FULL", `no room left on the disk for ${what}`, { cause: error, phase: "transfer" });
      if (number >= attempts || error instanceof Refused)
        throw new StagingError(code, `could not transfer ${what}: ${reasonOf(limit.signal.aborted ? limit.signal.reason : error)}`, { cause: error, phase: "transfer" });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    await pause(pauseMs * 2 ** (number - 1), signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}

/** `fetch failed` says nothing: the reason is in the cause. */
const reasonOf = (error: unknown): string => {
  const causes = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) causes.push(at.message || ((at as NodeJS.ErrnoException).code ?? at.name));
  return maskSecrets(causes.join(": ") || String(error));
};

async function discard(body: AsyncIterable<Uint8Array> | null): Promise<void> {
  if (body) for await (const chunk of body) if (chunk.length > 65_536) break;
}

async function readStart(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of body) if (text.length < 500) text += Buffer.from(chunk).toString();
  return text.slice(0, 500);
}
