import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { sql } from "kysely";
import { tokenIssuer } from "../claims.ts";
import { authenticateClient } from "../client-auth.ts";
import type { UaaContext } from "../context.ts";
import { UaaServerError } from "../errors.ts";
import { defaultGroups } from "../scopes.ts";

/** The UAA version whose behaviour clients may count on; the command line wants 4.26.0 or later for origins. */
const version = "77.0.0";

/** Open to everybody: what to ask a user for, the keys, discovery, health. */
export function infoRoutes(app: FastifyInstance, context: UaaContext): void {
  const { publicUrls, keyring, clients, db, issuer } = context;

  for (const path of ["/login", "/info"])
    // A stale or empty Authorization header, which the command line sends, must not matter here.
    app.get(path, (request) => {
      const { uaa, login } = publicUrls(request.headers);
      return {
        app: { version },
        commit_id: "opencf",
        timestamp: "2024-10-01T00:00:00+0000",
        zone_name: "uaa",
        entityID: new URL(uaa).host,
        links: { uaa, login, passwd: "/forgot_password", register: "/create_account" },
        idpDefinitions: {},
        showLoginLinks: true,
        prompts: { username: ["text", "Email"], password: ["password", "Password"] },
      };
    });

  app.get("/healthz", async (_request, reply) => {
    try {
      await sql`select 1`.execute(db);
      return await reply.type("text/plain").send("ok\n");
    } catch {
      return reply.code(503).type("text/plain").send("database failure\n");
    }
  });

  app.get("/token_keys", async (request, reply) => {
    if (/^basic /i.test(request.headers.authorization ?? "")) await authenticateClient(clients, request);
    const keys = await keyring.published();
    const etag = `"${createHash("sha256").update(keys.map(({ kid }) => kid).join(" ")).digest("hex").slice(0, 16)}"`;
    reply.header("ETag", etag).header("Cache-Control", "no-cache");
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
    return { keys };
  });

  app.get("/token_key", async (request) => {
    if (/^basic /i.test(request.headers.authorization ?? "")) await authenticateClient(clients, request);
    const { kid } = await keyring.active();
    const key = (await keyring.published()).find((one) => one.kid === kid);
    if (!key) throw new UaaServerError("server_error", "No signing key");
    return key;
  });

  app.get("/.well-known/openid-configuration", (request) => {
    const { uaa, login } = publicUrls(request.headers);
    return {
      issuer: tokenIssuer(issuer),
      authorization_endpoint: `${login}/oauth/authorize`,
      token_endpoint: `${login}/oauth/token`,
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
      userinfo_endpoint: `${login}/userinfo`,
      jwks_uri: `${uaa}/token_keys`,
      end_session_endpoint: `${login}/logout.do`,
      scopes_supported: [...defaultGroups],
      response_types_supported: ["code"],
      grant_types_supported: ["password", "refresh_token", "client_credentials", "authorization_code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
      claims_supported: ["sub", "user_name", "origin", "iss", "auth_time", "client_id", "aud", "zid", "grant_type", "user_id", "azp", "scope", "exp", "iat", "jti", "rev_sig", "cid", "email"],
      claims_parameter_supported: false,
      ui_locales_supported: ["en-US"],
      code_challenge_methods_supported: ["S256"],
    };
  });
}
