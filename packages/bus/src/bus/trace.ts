import { AsyncLocalStorage } from "node:async_hooks";
import { firstHeader, headerNames, type Headers, type HeadersInit } from "../headers.ts";

/** Where a message belongs: one trace id for everything that one cause led to. */
export interface Trace {
  readonly traceId: string;
  readonly messageId: string;
  /** The message that led to this one. */
  readonly causationId: string | undefined;
  /** Name of the component that sent it. */
  readonly sender: string | undefined;
}

/** What is being handled at the moment: whatever is published meanwhile belongs to it. */
export interface Cause {
  readonly traceId: string;
  readonly messageId?: string | undefined;
}

interface Handling {
  readonly cause: Cause;
  readonly sinceMs: number;
}

/**
 * A timer that a handler starts inherits what was being handled, and may go on for ever: heartbeats begin with a command to start. So a cause
 * is inherited for a while only; whoever knows better names it in `publish`. Soft state, which is repeated, ends sooner.
 */
const inheritedForMs = { command: 1_800_000, softState: 60_000 };

const handling = new AsyncLocalStorage<Handling | undefined>();

/** The message being handled here, if it belongs to a trace and is recent enough. */
export function currentCause(nowMs: () => number, kind: keyof typeof inheritedForMs): Cause | undefined {
  const current = handling.getStore();
  return current !== undefined && nowMs() - current.sinceMs <= inheritedForMs[kind] ? current.cause : undefined;
}

/** Runs `run` as the consequence of `cause`. An untraced message must not inherit the trace of whoever happened to be running. */
export function within<T>(cause: Cause | undefined, nowMs: () => number, run: () => T): T {
  if (cause !== undefined) return handling.run({ cause, sinceMs: nowMs() }, run);
  return handling.getStore() === undefined ? run() : handling.run(undefined, run);
}

// Others write headers too, and what we take over from them goes out with our own messages: it must fit there.
const sane = /^[\x21-\x7e]{1,128}$/;
const saneHeader = (headers: Headers | undefined, name: string): string | undefined => {
  const value = firstHeader(headers, name);
  return value !== undefined && sane.test(value) ? value : undefined;
};

/** What the headers of a message say; undefined for a message of somebody who writes none, or none that make sense. */
export function readTrace(headers: Headers | undefined): Trace | undefined {
  const traceId = saneHeader(headers, headerNames.trace);
  const messageId = saneHeader(headers, headerNames.message);
  if (traceId === undefined || messageId === undefined) return undefined;
  return { traceId, messageId, causationId: saneHeader(headers, headerNames.causation), sender: firstHeader(headers, headerNames.sender)?.slice(0, 256) };
}

/** Headers of a message that belongs to a trace, joined with what the caller gave. */
export function writeTrace(given: HeadersInit | undefined, messageId: string, cause: Cause | undefined, sender: string | undefined): HeadersInit {
  const headers: Record<string, string | readonly string[]> = { [headerNames.trace]: cause?.traceId ?? messageId, [headerNames.message]: messageId };
  if (cause?.messageId !== undefined) headers[headerNames.causation] = cause.messageId;
  if (sender !== undefined) headers[headerNames.sender] = sender;
  return given ? Object.assign(headers, given) : headers;
}
