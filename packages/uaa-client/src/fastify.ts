import type {} from "fastify";
import { bearerToken, refusalFor, type GuardOptions } from "./guard.ts";
import type { Principal } from "./principal.ts";
import type { Validator } from "./validator.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who calls. Set by {@link guard}; there only on routes behind one. */
    principal: Principal;
  }
}

interface GuardedRequest {
  headers: { authorization?: string | undefined };
  principal?: Principal;
}

interface GuardedReply {
  code(status: number): GuardedReply;
  headers(values: Record<string, string>): GuardedReply;
  send(body: unknown): unknown;
}

/**
 * An `onRequest` hook for Fastify: sets `request.principal`, or answers 401, 403 or 503.
 * Works on one route, or for a whole scope with `app.addHook("onRequest", guard(validator))`.
 */
export function guard(validator: Validator, options: GuardOptions = {}): (request: GuardedRequest, reply: GuardedReply) => Promise<unknown> {
  return async (request, reply) => {
    try {
      request.principal = await validator.validate(bearerToken(request.headers.authorization), options);
      return undefined;
    } catch (error) {
      const { status, headers, body } = refusalFor(error, options);
      return reply.code(status).headers(headers).send(body);
    }
  };
}
