import { open } from "node:fs/promises";
import { Agent, fetch as undiciFetch } from "undici";
import { DeaError, textOf } from "../errors.ts";
import { type Clock, type Fetch, sleep } from "../ports.ts";
import { createDigester, type Digests, type DropletSource, sourceName } from "./source.ts";

export interface DownloadOptions {
  fetch: Fetch;
  clock: Clock;
  signal: AbortSignal;
  /** Largest file accepted. */
  maxBytes: number;
  /** Silence after which an attempt is given up. */
  inactivityTimeoutMs: number;
  /** Attempts in all; only failures that may pass are tried again. */
  attempts: number;
}

/** undici's fetch with timeouts of its own, so that a server which stops talking cannot hold a start for ever. */
export function defaultFetch(inactivityTimeoutMs: number): Fetch & AsyncDisposable {
  const dispatcher = new Agent({ bodyTimeout: inactivityTimeoutMs, headersTimeout: inactivityTimeoutMs, connectTimeout: 10_000 });
  const call: Fetch = (url, init) => undiciFetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
  return Object.assign(call, { [Symbol.asyncDispose]: () => dispatcher.destroy() });
}

/** Credentials inside a URL become a header: fetch refuses such URLs. */
function requestOf(url: string): { url: string; headers: Record<string, string> } {
  const parsed = new URL(url);
  const { username, password } = parsed;
  if (!username && !password) return { url, headers: {} };
  parsed.username = "";
  parsed.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { url: parsed.href, headers: { authorization: `Basic ${Buffer.from(pair).toString("base64")}` } };
}

async function attempt(source: DropletSource, target: string, options: DownloadOptions): Promise<Digests> {
  const { fetch, maxBytes, inactivityTimeoutMs, clock } = options;
  const { url, headers } = requestOf(source.url ?? "");
  const silence = new AbortController();
  let timer: Disposable | undefined;
  const heard = (): void => {
    timer?.[Symbol.dispose]();
    timer = clock.after(inactivityTimeoutMs, () => silence.abort(new Error(`no data for ${inactivityTimeoutMs} ms`)));
  };
  const file = await open(target, "w", 0o600);
  try {
    heard();
    const response = await fetch(url, { headers, signal: AbortSignal.any([options.signal, silence.signal]) });
    if (response.status !== 200) {
      await response.body?.cancel();
      const retryable = response.status >= 500 || response.status === 429 || response.status === 408;
      throw new DeaError("DEA_DROPLET_UNAVAILABLE", `${sourceName(source)}: status ${response.status}`, { retryable });
    }
    const digester = createDigester();
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      heard();
      bytes += chunk.length;
      if (bytes > maxBytes) throw new DeaError("DEA_DROPLET_TOO_LARGE", `${sourceName(source)} is larger than ${maxBytes} bytes`);
      digester.update(chunk);
      for (let written = 0; written < chunk.length; ) written += (await file.write(chunk, written)).bytesWritten;
    }
    return digester.digests();
  } catch (error) {
    if (error instanceof DeaError) throw error;
    // The text of a network error may repeat the URL; the name of the host is enough.
    const why = silence.signal.aborted ? textOf(silence.signal.reason) : networkReason(error);
    throw new DeaError("DEA_DROPLET_UNAVAILABLE", `${sourceName(source)}: ${why}`, { retryable: !options.signal.aborted });
  } finally {
    timer?.[Symbol.dispose]();
    await file.close();
  }
}

function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : undefined;
  return code ?? (cause instanceof Error ? cause.name : "the download failed");
}

/** Downloads to `target`. Throws DEA_DROPLET_UNAVAILABLE, DEA_DROPLET_TOO_LARGE. */
export async function download(source: DropletSource, target: string, options: DownloadOptions): Promise<Digests> {
  for (let turn = 1; ; turn++) {
    try {
      return await attempt(source, target, options);
    } catch (error) {
      const again = error instanceof DeaError && error.retryable && turn < options.attempts && !options.signal.aborted;
      if (!again) throw error;
      await sleep(options.clock, 250 * 2 ** turn, options.signal);
    }
  }
}
