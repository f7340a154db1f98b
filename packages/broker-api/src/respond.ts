import type { BrokerError } from "./errors.ts";
import type { JsonObject } from "./json.ts";

export interface Outcome {
  status: 200 | 201 | 410;
  /** Never absent: Cloud Foundry takes an empty body for a fault and leaves things behind. */
  body: JsonObject;
}

/** The only place where an answer is made. */
export function respond(outcome: Outcome, requestIdentity: string | undefined): Response {
  return Response.json(outcome.body, { status: outcome.status, headers: headersFor(requestIdentity) });
}

export function respondError(error: BrokerError, requestIdentity: string | undefined): Response {
  const headers = headersFor(requestIdentity);
  if (error.status === 401) headers["www-authenticate"] = 'Basic realm="service broker", charset="UTF-8"';
  if (error.status === 503) headers["retry-after"] = "10";
  if (error.status === 405) headers["allow"] = error.issues.join(", ");
  const body: JsonObject = { description: error.message === "" ? "the broker gave no reason" : error.message };
  if (error.word !== undefined) body["error"] = error.word;
  if (error.instanceUsable !== undefined) body["instance_usable"] = error.instanceUsable;
  if (error.updateRepeatable !== undefined) body["update_repeatable"] = error.updateRepeatable;
  return Response.json(body, { status: error.status, headers });
}

function headersFor(requestIdentity: string | undefined): Record<string, string> {
  const headers: Record<string, string> = { "cache-control": "no-store" };
  if (requestIdentity !== undefined) headers["x-broker-api-request-identity"] = requestIdentity;
  return headers;
}
