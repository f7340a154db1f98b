import { createHash, randomBytes } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { bearerOf, type UaaContext } from "../context.ts";
import { insufficientScope, UaaServerError } from "../errors.ts";
import { grantedScopes } from "../scopes.ts";
import { words } from "../words.ts";

const codeForMs = 300_000;
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const randomCode = () => [...randomBytes(32)].map((byte) => alphabet[byte & 63]).join("");

/** One-time codes for a user that has a token already: `cf ssh` and `cf ssh-code`. There is no browser session. */
export function authorizeRoutes(app: FastifyInstance, context: UaaContext): void {
  app.get("/oauth/authorize", async (request, reply) => {
    const query = new URLSearchParams(request.url.split("?", 2)[1] ?? "");
    const { user, claims } = await bearerOf(context, request);
    if (!user || !claims.scope.includes("uaa.user")) throw insufficientScope(["uaa.user"]);
    const client = await context.clients.get(query.get("client_id") ?? "");
    if (!client) throw new UaaServerError("invalid_client", "No client with requested id", { status: 400 });
    if (query.get("response_type") !== "code") throw new UaaServerError("unsupported_response_type", "Only the response type code is supported");
    if (!client.grantTypes.includes("authorization_code")) throw new UaaServerError("unauthorized_client", "Unauthorized grant type: authorization_code");
    const asked = query.get("redirect_uri");
    // Letter by letter: a pattern here hands codes to strangers.
    const redirect = asked === null ? client.redirectUris[0] : client.redirectUris.find((uri) => uri === asked);
    if (redirect === undefined) throw new UaaServerError("invalid_request", "Invalid redirect_uri");
    const requested = words(query.get("scope") ?? "");
    const scope = grantedScopes(await context.users.scopes(user.id), client.scope, requested.length > 0 ? requested : undefined);
    if (scope.length === 0) throw new UaaServerError("invalid_scope", "This user is not allowed any of the requested scopes");
    if (client.autoapprove !== true && !scope.every((one) => (client.autoapprove as readonly string[]).includes(one)))
      throw new UaaServerError("access_denied", "This client needs the approval of the user in a browser");
    const challenge = query.get("code_challenge");
    if (challenge !== null && (query.get("code_challenge_method") !== "S256" || !/^[A-Za-z0-9._~-]{43,128}$/.test(challenge)))
      throw new UaaServerError("invalid_request", "Only code challenges of the method S256 are supported");

    const code = randomCode();
    await context.db.insertInto("uaa_codes").values({
      id: createHash("sha256").update(code).digest("hex"), client_id: client.id, user_id: user.id, redirect_uri: asked, scope: scope.join(" "),
      challenge, auth_time: (claims.auth_time ?? claims.iat) * 1000, expires_at: context.clock.now() + codeForMs,
    }).execute();
    const target = redirect.startsWith("/") ? `${context.publicUrls(request.headers).login}${redirect}` : redirect;
    const location = new URL(target);
    location.searchParams.set("code", code);
    const state = query.get("state");
    if (state !== null) location.searchParams.set("state", state);
    return reply.code(302).header("Location", location.href).send();
  });
}
