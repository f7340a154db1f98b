import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import type { UaaContext } from "./context.ts";
import { UaaServerError } from "./errors.ts";
import { parseForm } from "./form.ts";
import { authorizeRoutes } from "./routes/authorize.ts";
import { checkRoutes } from "./routes/check.ts";
import { clientRoutes } from "./routes/clients.ts";
import { groupRoutes } from "./routes/groups.ts";
import { infoRoutes } from "./routes/info.ts";
import { revokeRoutes } from "./routes/revoke.ts";
import { tokenRoutes } from "./routes/token.ts";
import { userRoutes } from "./routes/users.ts";

/** The HTTP side: routes, bodies, and every error as JSON in the form that OAuth and SCIM clients read. */
export function createApp(context: UaaContext, { trustedHops }: { trustedHops: number }): FastifyInstance {
  const app = Fastify({
    bodyLimit: 262_144,
    // A look-up of 200 ids is a long line.
    http: { maxHeaderSize: 65_536 },
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    trustProxy: (_address, hop) => hop < trustedHops,
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: 500, ignoreTrailingSlash: true },
    forceCloseConnections: true,
  });
  const { logger } = context;

  app.addContentTypeParser("application/x-www-form-urlencoded", { parseAs: "string" }, (_request, body, done) => {
    try {
      done(null, parseForm(body as string));
    } catch (error) {
      done(error as Error);
    }
  });
  const json = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  // Clients name the type even where there is no body, as on DELETE.
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, {});
    else void json(request, body as string, done);
  });

  app.addHook("onRequest", async (request, reply) => {
    reply.header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff");
    // No text of ours may hold NUL, and the database refuses it.
    if (/%00/.test(request.url)) throw new UaaServerError("invalid_request", "The address holds a NUL character");
    await Promise.resolve();
  });

  app.setErrorHandler((thrown, request, reply) => {
    const error = asServerError(thrown);
    if (error.status >= 500) logger.error("uaa.request-failed", { method: request.method, path: pathOf(request), cause: String((error.cause as Error | undefined)?.message ?? error.message) });
    if (error.status === 401) reply.header("WWW-Authenticate", challenge(pathOf(request), error));
    if (error.status === 503) reply.header("Retry-After", "2");
    const { code, message, extra } = error;
    const scim = code.startsWith("scim_") || code === "invalid_scim_resource" || code === "invalid_password" || code === "invalid_self_edit";
    return reply.code(error.status).type("application/json").send({ error: code, error_description: message, ...(scim && { message }), ...extra });
  });

  infoRoutes(app, context);
  tokenRoutes(app, context);
  checkRoutes(app, context);
  revokeRoutes(app, context);
  authorizeRoutes(app, context);
  userRoutes(app, context);
  groupRoutes(app, context);
  clientRoutes(app, context);

  for (const path of ["/oauth/token", "/check_token", "/introspect"])
    app.route({
      method: ["GET", "PUT", "PATCH", "DELETE"], url: path,
      handler: (request) => Promise.reject(new UaaServerError("method_not_allowed", `Request method '${request.method}' not supported`)),
    });
  app.setNotFoundHandler(() => Promise.reject(new UaaServerError("not_found", "No such door")));
  return app;
}

const pathOf = (request: FastifyRequest) => request.url.split("?", 1)[0] ?? "";

/** What the framework found wrong with a request keeps its status; everything else is our own failure. */
function asServerError(thrown: unknown): UaaServerError {
  if (thrown instanceof UaaServerError) return thrown;
  const { statusCode, message } = thrown as { statusCode?: number; message?: string };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new UaaServerError("invalid_request", message ?? "The request cannot be read", { status: statusCode, cause: thrown });
  return new UaaServerError("server_error", "The server failed", { cause: thrown });
}

function challenge(path: string, { code, message }: UaaServerError): string {
  const basic = ["/oauth/token", "/check_token", "/introspect"].includes(path);
  // Only plain signs may stand in a header; names that users chose may hold others.
  const text = message.replace(/[^\x20-\x7e]|["\\]/g, "");
  return `${basic ? 'Basic realm="UAA/client"' : 'Bearer realm="UAA/oauth"'}, error="${code}", error_description="${text}"`;
}
