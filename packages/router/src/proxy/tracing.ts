import { randomBytes } from "node:crypto";
import type { Exchange } from "./exchange.ts";
import type { Step } from "./pipeline.ts";

export interface TracingOptions {
  /** Zipkin's headers: `b3`, `X-B3-TraceId`, `X-B3-SpanId`. Default false. */
  b3?: boolean;
  /** The W3C's: `traceparent`, `tracestate`. Default false. */
  w3c?: boolean;
  /** Tells this platform's entry in `tracestate` from those of others. Default none. */
  tenantId?: string;
}

const traceId = /^[0-9a-f]{32}$/;
/** With ids, or a decision alone, which leaves them to the tracer (B3 propagation, "single header"). */
const singleB3 = /^(?:([0-9a-f]{32}|[0-9a-f]{16})-[0-9a-f]{16}(-([01d]|[01d]-[0-9a-f]{16}))?|[01d])$/;
/** Versions to come begin as this one does, and may say more behind it (W3C Trace Context, 4.2). */
const traceparent = /^(?:00(?=.{53}$)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-|$)/;
/** A longer state is dropped rather than passed on in part (W3C Trace Context, 3.3.1.5). */
const maxStateBytes = 2_048;

/**
 * A step that gives each request a place in a trace: what a client sent is continued when it is whole, replaced when it is not.
 * Put it before `assignRequestId`, which then makes the request's id of the trace's.
 */
export function traceRequests({ b3 = false, w3c = false, tenantId = "" }: TracingOptions): Step {
  const vendor = tenantId === "" ? "gorouter" : `${tenantId}@gorouter`;
  return (exchange, next) => {
    if (b3) continueB3(exchange);
    if (w3c) continueW3c(exchange, vendor);
    return next();
  };
}

function continueB3(exchange: Exchange): void {
  const single = exchange.header("b3");
  const match = single === undefined ? null : singleB3.exec(single);
  if (match !== null) {
    exchange.traceId = match[1] ?? "";
    return;
  }
  let parent = exchange.header("x-b3-parentspanid");
  let trace = exchange.header("x-b3-traceid");
  let span = exchange.header("x-b3-spanid");
  if (trace === undefined || span === undefined || !/^([0-9a-f]{32}|[0-9a-f]{16})$/.test(trace) || !/^[0-9a-f]{16}$/.test(span)) {
    trace = randomHex(16);
    span = randomHex(8);
    parent = undefined;
    exchange.setHeader("X-B3-TraceId", trace);
    exchange.setHeader("X-B3-SpanId", span);
  }
  exchange.setHeader("b3", `${trace}-${span}${decisionOf(exchange, parent)}`);
  exchange.traceId = trace;
}

/** Whether the trace is recorded, as far as that is decided: the end of a single header. The parent can only follow a decision. */
function decisionOf(exchange: Exchange, parent: string | undefined): string {
  const sampled = exchange.header("x-b3-sampled") ?? "";
  const decision = exchange.header("x-b3-flags") === "1" ? "-d" : /^(1|true)$/i.test(sampled) ? "-1" : /^(0|false)$/i.test(sampled) ? "-0" : "";
  return decision !== "" && parent !== undefined && /^[0-9a-f]{16}$/.test(parent) ? `${decision}-${parent}` : decision;
}

function continueW3c(exchange: Exchange, vendor: string): void {
  const parent = randomHex(8);
  const given = exchange.header("traceparent");
  const match = given === undefined ? null : traceparent.exec(given);
  const trace = match?.[1] ?? (traceId.test(exchange.traceId) ? exchange.traceId : randomHex(16));
  // A state belongs to the parent it came with; without that it means nothing.
  const state = match === null ? "" : exchange.header("tracestate") ?? "";
  const others = state.length > maxStateBytes ? [] : state.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "" && !entry.startsWith(`${vendor}=`));
  exchange.setHeader("traceparent", `00-${trace}-${parent}-${match?.[2] ?? "01"}`);
  exchange.setHeader("tracestate", [`${vendor}=${parent}`, ...others].join(","));
  exchange.traceId = trace;
}

/** A trace id as a request id: the same digits, with the dashes of a UUID. Undefined when it is too short for one. */
export const requestIdOf = (trace: string): string | undefined =>
  traceId.test(trace) ? `${trace.slice(0, 8)}-${trace.slice(8, 12)}-${trace.slice(12, 16)}-${trace.slice(16, 20)}-${trace.slice(20)}` : undefined;

const randomHex = (bytes: number): string => randomBytes(bytes).toString("hex");
