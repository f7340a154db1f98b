import { aborted } from "./cancel.ts";
import { UaaError } from "./errors.ts";
import type { Fetch } from "./ports.ts";

export interface HttpAnswer {
  status: number;
  headers: Headers;
  /** Parsed JSON; `undefined` when the body is empty or no JSON. */
  body: unknown;
}

export interface HttpCall {
  fetch: Fetch;
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

/**
 * One request, one bounded JSON answer. Redirects are refused: keys and tokens come from the place
 * that was configured, and credentials go nowhere else.
 * Throws `uaa_unavailable` (network, time), `bad_response` (redirect, too large) or `aborted`.
 */
export async function callJson(url: string, init: RequestInit, call: HttpCall): Promise<HttpAnswer> {
  const { fetch, timeoutMs, maxBytes, signal } = call;
  if (signal?.aborted) throw aborted(signal);
  const limit = AbortSignal.timeout(timeoutMs);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    const response = await fetch(url, { ...init, redirect: "manual", signal: both });
    if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400 && response.status !== 304)) {
      await response.body?.cancel();
      throw new UaaError("bad_response", `${place(url)} answered with a redirect; redirects are not followed`, {
        status: response.status,
      });
    }
    const text = await readText(response, maxBytes, url);
    return { status: response.status, headers: response.headers, body: parse(text) };
  } catch (cause) {
    if (cause instanceof UaaError) throw cause;
    if (signal?.aborted) throw aborted(signal);
    const why = limit.aborted ? `gave no answer within ${timeoutMs} ms` : "cannot be reached";
    throw new UaaError("uaa_unavailable", `${place(url)} ${why}`, { cause, retryable: true });
  }
}

async function readText(response: Response, maxBytes: number, url: string): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let bytes = 0;
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      throw new UaaError("bad_response", `${place(url)} answered with more than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The address without user info or query, for messages. */
function place(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
