import { createHash } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { authenticateClient, type AuthenticatedClient } from "../client-auth.ts";
import type { UaaContext } from "../context.ts";
import { UaaServerError } from "../errors.ts";
import { formOf, required, type Form } from "../form.ts";
import { loginWithPassword } from "../password-login.ts";
import type { UserRow } from "../schema.ts";
import { grantedScopes, permits } from "../scopes.ts";
import type { TokenAnswer } from "../tokens.ts";
import { unique, words } from "../words.ts";

interface Grant {
  context: UaaContext;
  request: FastifyRequest;
  form: Form;
  client: AuthenticatedClient;
  /** What was asked for; undefined: all there is. */
  scope: string[] | undefined;
}

/** What each grant does; a client needs the name of the grant in its record. */
const grants: Readonly<Record<string, (grant: Grant) => Promise<TokenAnswer>>> = {
  password: passwordGrant,
  refresh_token: ({ context, form, client, scope }) => context.tokens.refresh({ ...client, value: required(form, "refresh_token"), scope }),
  client_credentials: clientCredentialsGrant,
  authorization_code: codeGrant,
};

/** `POST /oauth/token` */
export function tokenRoutes(app: FastifyInstance, context: UaaContext): void {
  app.post("/oauth/token", { bodyLimit: 65_536 }, async (request, reply) => {
    const form = formOf(request);
    const client = await authenticateClient(context.clients, request);
    const type = required(form, "grant_type");
    const grant = Object.hasOwn(grants, type) ? grants[type] : undefined;
    if (!grant) throw new UaaServerError("unsupported_grant_type", `Unsupported grant type: ${type.slice(0, 80)}`);
    if (!client.client.grantTypes.includes(type)) throw new UaaServerError("unauthorized_client", `Unauthorized grant type: ${type}`);
    const asked = words(form.get("scope") ?? "");
    const answer = await grant({ context, request, form, client, scope: asked.length > 0 ? asked : undefined });
    return reply.header("Pragma", "no-cache").send(answer);
  });
}

async function passwordGrant({ context, request, form, client, scope }: Grant): Promise<TokenAnswer> {
  if (form.has("passcode")) throw new UaaServerError("unauthorized", "Invalid passcode");
  const userName = required(form, "username");
  const password = required(form, "password");
  const origin = originOf(form, request);
  await context.ready;
  const user = await loginWithPassword(context, { userName, origin }, password, request.ip);
  return issueToUser(context, client, user, { asked: scope, grantType: "password" });
}

async function clientCredentialsGrant({ context, client, scope }: Grant): Promise<TokenAnswer> {
  const { authorities } = client.client;
  const granted = unique(scope ? authorities.filter((one) => scope.includes(one)) : authorities);
  if (granted.length === 0) throw new UaaServerError("invalid_scope", "The client has none of the scopes that were asked for");
  return context.tokens.issue({ ...client, scope: granted, grantType: "client_credentials" });
}

async function codeGrant({ context, form, client, scope }: Grant): Promise<TokenAnswer> {
  const { db, users, clock } = context;
  const invalid = (why: string) => new UaaServerError("invalid_grant", why);
  const id = createHash("sha256").update(required(form, "code")).digest("hex");
  // Taken out as it is read: a code is good for one try.
  const code = await db.deleteFrom("uaa_codes").where("id", "=", id).returningAll().executeTakeFirst();
  if (!code || code.expires_at <= clock.now()) throw invalid("Invalid authorization code");
  if (code.client_id !== client.client.id) throw invalid("The code was made for another client");
  if (code.redirect_uri !== null && form.get("redirect_uri") !== code.redirect_uri) throw invalid("Redirect URI mismatch.");
  const verifier = form.get("code_verifier");
  const challenge = verifier === undefined ? null : createHash("sha256").update(verifier).digest("base64url");
  if (challenge !== code.challenge) throw invalid("Invalid code verifier");
  const user = await users.get(code.user_id);
  if (!user?.active) throw invalid("The user of this code is gone");
  return issueToUser(context, client, user, { asked: scope ?? words(code.scope), grantType: "authorization_code", authTimeMs: code.auth_time });
}

interface UserGrant {
  asked: string[] | undefined;
  grantType: string;
  authTimeMs?: number;
}

async function issueToUser({ users, tokens }: UaaContext, { client, method }: AuthenticatedClient, user: UserRow, { asked, grantType, authTimeMs }: UserGrant): Promise<TokenAnswer> {
  const held = await users.scopes(user.id);
  const lacks = client.requiredUserGroups.filter((group) => !held.some((one) => permits(group, one)));
  const scope = grantedScopes(held, client.scope, asked);
  if (scope.length === 0 || lacks.length > 0)
    throw new UaaServerError("invalid_scope", `${JSON.stringify(asked ?? [])} is invalid. This user is not allowed any of the requested scopes`);
  return tokens.issue({ client, method, user, scope, grantType, authTimeMs, withRefresh: client.grantTypes.includes("refresh_token") });
}

/** `login_hint` is JSON in a parameter; the command line puts it into the query. */
function originOf(form: Form, request: FastifyRequest): string {
  const query = (request.query as Record<string, unknown>)["login_hint"];
  const hint = form.get("login_hint") ?? (typeof query === "string" ? query : undefined);
  if (hint === undefined || hint === "") return "uaa";
  let origin: unknown;
  try {
    origin = (JSON.parse(hint.startsWith("%") ? decodeURIComponent(hint) : hint) as { origin?: unknown }).origin;
  } catch {
    throw new UaaServerError("invalid_request", "login_hint is not JSON");
  }
  if (origin === "uaa") return "uaa";
  throw new UaaServerError("unauthorized", "The origin provided in the login_hint does not match an active Identity Provider, that supports password grant.");
}
