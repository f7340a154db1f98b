import type { FastifyInstance } from "fastify";
import { bearerOf, requireScope, type UaaContext } from "../context.ts";
import { insufficientScope, invalidToken, UaaServerError } from "../errors.ts";
import { hasScope } from "../verify.ts";

/** Ends tokens: one login, all of a user, all of a client. */
export function revokeRoutes(app: FastifyInstance, context: UaaContext): void {
  const { tokens, users, clients, logger } = context;

  /** By `jti` or by the value of a refresh token; everything that came of the same login goes with it. */
  app.delete<{ Params: { id: string } }>("/oauth/token/revoke/:id", async (request, reply) => {
    const who = await bearerOf(context, request);
    const family = await tokens.familyOf(request.params.id);
    if (!family) throw new UaaServerError("invalid_token", "Token not found", { status: 404 });
    const own = who.user ? family.user_id === who.user.id : family.user_id === null && family.client_id === who.client.id;
    if (!own && !hasScope(who, "tokens.revoke")) throw insufficientScope(["tokens.revoke"]);
    await tokens.revokeFamily(family.id);
    logger.info("uaa.token-revoked", { userId: family.user_id, clientId: family.client_id });
    return reply.code(200).send();
  });

  app.get<{ Params: { id: string } }>("/oauth/token/revoke/user/:id", async (request, reply) => {
    const who = await bearerOf(context, request);
    if (who.user?.id !== request.params.id && !hasScope(who, "tokens.revoke")) throw insufficientScope(["tokens.revoke"]);
    if (!(await users.resalt(request.params.id))) throw new UaaServerError("scim_resource_not_found", `User ${request.params.id} does not exist`);
    await tokens.revokeAll({ userId: request.params.id });
    return reply.code(200).send();
  });

  app.get<{ Params: { id: string } }>("/oauth/token/revoke/client/:id", async (request, reply) => {
    await requireScope(context, request, "tokens.revoke");
    if (!(await clients.resalt(request.params.id))) throw new UaaServerError("not_found", `No client with requested id: ${request.params.id}`);
    await tokens.revokeAll({ clientId: request.params.id });
    return reply.code(200).send();
  });

  app.get<{ Params: { userId: string; clientId: string } }>("/oauth/token/revoke/user/:userId/client/:clientId", async (request, reply) => {
    const who = await bearerOf(context, request);
    if (who.user?.id !== request.params.userId && !hasScope(who, "tokens.revoke")) throw insufficientScope(["tokens.revoke"]);
    await tokens.revokeAll(request.params);
    return reply.code(200).send();
  });

  const listing = ({ jti, clientId, userId, issuedAt, expiresAt, scope }: Awaited<ReturnType<typeof tokens.list>>[number]) => ({
    tokenId: jti, clientId, userId, zoneId: "uaa", format: "jwt", responseType: "ACCESS_TOKEN", issuedAt, expiresAt, scope,
  });
  app.get("/oauth/token/list", async (request) => {
    const { user, client } = await bearerOf(context, request);
    if (user) return (await tokens.list({ userId: user.id })).map(listing);
    return (await tokens.list({ clientId: client.id })).filter(({ userId }) => userId === null).map(listing);
  });
  app.get<{ Params: { id: string } }>("/oauth/token/list/user/:id", async (request) => {
    await requireScope(context, request, "tokens.list");
    return (await tokens.list({ userId: request.params.id })).map(listing);
  });
  app.get<{ Params: { id: string } }>("/oauth/token/list/client/:id", async (request) => {
    await requireScope(context, request, "tokens.list");
    return (await tokens.list({ clientId: request.params.id })).map(listing);
  });
  app.get("/oauth/token/revoke/:id", () => Promise.reject(invalidToken("Revoking a token is DELETE")));
}
