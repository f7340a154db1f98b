import type { FastifyInstance, FastifyRequest } from "fastify";
import type { AccessClaims } from "../claims.ts";
import { authenticateClient } from "../client-auth.ts";
import { bearerOf, type UaaContext } from "../context.ts";
import { insufficientScope, UaaServerError } from "../errors.ts";
import { formOf, required } from "../form.ts";
import { words } from "../words.ts";

/** For resource servers that ask instead of checking by themselves, and for users that ask about themselves. */
export function checkRoutes(app: FastifyInstance, context: UaaContext): void {
  const { clients, verify } = context;

  async function requireResourceServer(request: FastifyRequest): Promise<void> {
    const { client } = await authenticateClient(clients, request);
    if (!client.authorities.some((one) => one === "uaa.resource" || one === "uaa.admin")) throw insufficientScope(["uaa.resource"]);
  }

  async function claimsOf(token: string): Promise<AccessClaims | undefined> {
    try {
      return (await verify(token)).claims;
    } catch (error) {
      if (error instanceof UaaServerError && error.code === "invalid_token") return undefined;
      throw error;
    }
  }

  app.post("/introspect", async (request) => {
    await requireResourceServer(request);
    const claims = await claimsOf(required(formOf(request), "token"));
    return claims ? { active: true, ...claims } : { active: false };
  });

  app.post("/check_token", async (request) => {
    await requireResourceServer(request);
    const form = formOf(request);
    const claims = await claimsOf(required(form, "token"));
    if (!claims) throw new UaaServerError("invalid_token", "The token expired, was revoked, or the token ID is incorrect.", { status: 400 });
    const missing = words((form.get("scopes") ?? "").replaceAll(",", " ")).filter((scope) => !claims.scope.includes(scope));
    if (missing.length > 0) throw new UaaServerError("invalid_scope", `Some requested scopes are missing: ${missing.join(",")}`);
    return claims;
  });

  const userInfo = async (request: FastifyRequest) => {
    const { claims, user } = await bearerOf(context, request);
    if (!user || !claims.scope.includes("openid")) throw insufficientScope(["openid"]);
    const name = [user.given_name, user.family_name].filter((part) => part).join(" ");
    const phone = (JSON.parse(user.phone_numbers_json) as { value: string }[])[0]?.value;
    return {
      user_id: user.id,
      sub: user.id,
      user_name: user.user_name,
      ...(name !== "" && { name }),
      ...(user.given_name && { given_name: user.given_name }),
      ...(user.family_name && { family_name: user.family_name }),
      ...(phone && { phone_number: phone }),
      email: user.email,
      email_verified: user.verified,
      previous_logon_time: user.previous_logon_at,
      ...(claims.scope.includes("roles") && { roles: await context.users.scopes(user.id) }),
    };
  };
  app.get("/userinfo", userInfo);
  app.post("/userinfo", userInfo);
}
