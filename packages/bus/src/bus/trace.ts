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

const handling = new AsyncLocalStorage<Cause | undefined>();

/** The message being handled here, if it belongs to a trace. */
export const currentCause = (): Cause | undefined => handling.getStore();

/** Runs `run` as the consequence of `cause`. An untraced message must not inherit the trace of whoever happened to be running. */
export const within = <T>(cause: Cause | undefined, run: () => T): T => (handling.getStore() === cause ? run() : handling.run(cause, run));

/** What the headers of a message say; undefined for a message of somebody who writes none. */
export function readTrace(headers: Headers | undefined): Trace | undefined {
  const traceId = firstHeader(headers, headerNames.trace);
  const messageId = firstHeader(headers, headerNames.message);
  if (traceId === undefined || messageId === undefined) return undefined;
  return { traceId, messageId, causationId: firstHeader(headers, headerNames.causation), sender: firstHeader(headers, headerNames.sender) };
}

/** Headers of a message that belongs to a trace, joined with what the caller gave. */
export function writeTrace(given: HeadersInit | undefined, messageId: string, cause: Cause | undefined, sender: string | undefined): HeadersInit {
  const headers: Record<string, string | readonly string[]> = { [headerNames.trace]: cause?.traceId ?? messageId, [headerNames.message]: messageId };
  if (cause?.messageId !== undefined) headers[headerNames.causation] = cause.messageId;
  if (sender !== undefined) headers[headerNames.sender] = sender;
  return given ? Object.assign(headers, given) : headers;
}
