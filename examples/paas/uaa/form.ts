import type { FastifyRequest } from "fastify";
import { UaaServerError } from "./errors.ts";

/** Parameters of a form; each name at most once, as OAuth wants it. */
export type Form = ReadonlyMap<string, string>;

const maxFields = 64;

/** @throws UaaServerError invalid_request for repeated or too many parameters, or a NUL */
export function parseForm(text: string): Form {
  const form = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (form.has(name)) throw new UaaServerError("invalid_request", `The parameter ${JSON.stringify(name.slice(0, 40))} was sent more than once`);
    if (value.includes("\0")) throw new UaaServerError("invalid_request", "A parameter holds a NUL character");
    if (form.size >= maxFields) throw new UaaServerError("invalid_request", "Too many parameters");
    form.set(name, value);
  }
  return form;
}

/** The form of a request. Other kinds of body have none. */
export const formOf = (request: FastifyRequest): Form => (request.body instanceof Map ? (request.body as Form) : new Map<string, string>());

/** The JSON object of a request. */
export function objectOf(request: FastifyRequest): Record<string, unknown> {
  const body = request.body;
  if (typeof body !== "object" || body === null || body instanceof Map || Array.isArray(body)) throw new UaaServerError("invalid_request", "The body must be a JSON object");
  return body as Record<string, unknown>;
}

/** @throws UaaServerError invalid_request when it is missing */
export function required(form: Form, name: string): string {
  const value = form.get(name);
  if (value === undefined || value === "") throw new UaaServerError("invalid_request", `Missing parameter: ${name}`);
  return value;
}
