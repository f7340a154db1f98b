import type { ServerResponse } from "node:http";

/** Answers of the file API as those of the original: JSON with one word on what is wrong. */
export const refusals = {
  path: [400, "path is missing"],
  expired: [400, "Url expired"],
  hmac: [401, "Invalid HMAC"],
  outside: [403, "Not accessible"],
  instance: [404, "Unknown instance"],
  task: [404, "Unknown staging task"],
  entity: [404, "Entity not found"],
  unavailable: [503, "Instance unavailable"],
  busy: [503, "Too many streams"],
} as const satisfies Record<string, readonly [number, string]>;

export type Refusal = keyof typeof refusals;

const common = { "x-content-type-options": "nosniff", "cache-control": "private, no-store" };

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { ...common, "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

export function refuse(response: ServerResponse, refusal: Refusal): void {
  const [status, error] = refusals[refusal];
  sendJson(response, status, { error });
}

export function sendText(response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { ...common, "content-type": "text/plain", "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}

/** The words of the original's file server for what is there and cannot be served. */
export const sendEntityNotFound = (response: ServerResponse): void => sendText(response, 400, "Entity not found.\n", { "x-cascade": "pass" });
export const sendServerError = (response: ServerResponse, why: string): void => sendText(response, 500, `Can't serve request due to error: ${why}`);
