import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { bearerOf, requireScope, type UaaContext } from "../context.ts";
import { accountLocked, insufficientScope, UaaServerError } from "../errors.ts";
import { objectOf } from "../form.ts";
import type { UserRow } from "../schema.ts";
import { checkPassword, pick, scimToUser, userColumns, userToScim } from "../scim.ts";
import { listAnswer, parseSearch, restrict, search } from "../search.ts";
import { hasScope } from "../verify.ts";

type ById = { Params: { id: string } };

/** SCIM 1.1 users, and the narrow look-up of ids and names. */
export function userRoutes(app: FastifyInstance, context: UaaContext): void {
  const { db, users, kdf, lockout, logger } = context;

  const notFound = (id: string) => new UaaServerError("scim_resource_not_found", `User ${id} does not exist`);
  const queryOf = (request: FastifyRequest) => new URLSearchParams(request.url.split("?", 2)[1] ?? "");

  async function answer(reply: FastifyReply, row: UserRow, status = 200): Promise<FastifyReply> {
    const groups = (await users.memberships([row.id])).get(row.id);
    return reply.code(status).header("ETag", `"${row.version}"`).send(userToScim(row, groups));
  }

  app.get("/Users", async (request) => {
    await requireScope(context, request, "scim.read");
    const query = parseSearch(queryOf(request), userColumns, "created");
    const { rows, total } = await search(db, "uaa_users", query, userColumns);
    const withGroups = !query.attributes || query.attributes.some((name) => name.toLowerCase().startsWith("groups"));
    const groups = withGroups ? await users.memberships(rows.map(({ id }) => id)) : undefined;
    return listAnswer(rows.map((row) => pick(userToScim(row, groups?.get(row.id)), query.attributes)), query, total);
  });

  app.get("/ids/Users", async (request) => {
    await requireScope(context, request, "scim.userids", "scim.read");
    const asked = queryOf(request);
    const query = parseSearch(asked, userColumns, "username");
    if (!query.filter) throw new UaaServerError("invalid_scim_resource", "A filter is needed");
    restrict(query.filter, ["id", "username", "origin"], ["eq"]);
    const filter = asked.get("includeInactive") === "true" ? query.filter : ({ kind: "and", parts: [query.filter, { kind: "test", attribute: "active", operator: "eq", value: true }] } as const);
    const { rows, total } = await search(db, "uaa_users", { ...query, filter: filter as typeof query.filter }, userColumns);
    return listAnswer(rows.map(({ id, user_name, origin }) => ({ id, userName: user_name, origin })), query, total);
  });

  app.post("/Users", async (request, reply) => {
    await requireScope(context, request, "scim.write", "scim.create");
    const { draft, password } = scimToUser(objectOf(request));
    if (draft.origin === "uaa" && (password === undefined || password === "")) throw new UaaServerError("invalid_password", "A password is needed for a user of this server", { status: 400 });
    if (await users.findByName(draft.userName, draft.origin)) await users.create(draft, null);
    const hash = draft.origin === "uaa" && password !== undefined ? await kdf.hash(checkPassword(password)) : null;
    const row = await users.create(draft, hash);
    logger.info("uaa.user-created", { userId: row.id, origin: row.origin });
    return answer(reply, row, 201);
  });

  app.get<ById>("/Users/:id", async (request, reply) => {
    const who = await bearerOf(context, request);
    if (who.user?.id !== request.params.id && !hasScope(who, "scim.read")) throw insufficientScope(["scim.read"]);
    const row = await users.get(request.params.id);
    if (!row) throw notFound(request.params.id);
    return answer(reply, row);
  });

  /** PUT replaces, PATCH keeps what is not named; people may change the names of themselves. */
  const change = async (request: FastifyRequest<ById>, reply: FastifyReply): Promise<FastifyReply> => {
    const who = await bearerOf(context, request);
    const { id } = request.params;
    const mayAll = hasScope(who, "scim.write");
    if (!mayAll && who.user?.id !== id) throw insufficientScope(["scim.write"]);
    const before = await users.get(id);
    if (!before) throw notFound(id);
    const version = readVersion(request.headers["if-match"]);
    const { draft } = scimToUser(objectOf(request), request.method === "PATCH" ? before : { ...before, given_name: null, family_name: null, external_id: null, phone_numbers_json: "[]" });
    if (!mayAll) {
      const wanted = { ...draft, givenName: undefined, familyName: undefined };
      const present = { ...scimToUser({}, before).draft, givenName: undefined, familyName: undefined };
      if (JSON.stringify(wanted) !== JSON.stringify(present)) throw new UaaServerError("invalid_self_edit", "Users are only allowed to edit their own User settings: names");
    }
    const after = await users.update(id, draft, version);
    if (!after) throw notFound(id);
    logger.info("uaa.user-modified", { userId: id });
    return answer(reply, after);
  };
  app.put<ById>("/Users/:id", change);
  app.patch<ById>("/Users/:id", change);

  app.delete<ById>("/Users/:id", async (request, reply) => {
    const who = await requireScope(context, request, "scim.write");
    const { id } = request.params;
    const row = await users.get(id);
    if (!row) throw notFound(id);
    const version = request.headers["if-match"] === undefined ? undefined : readVersion(request.headers["if-match"]);
    if (version !== undefined && version !== row.version) throw new UaaServerError("scim_resource_conflict", "Attempt to delete a resource that has changed");
    if (who.user?.id === id) throw new UaaServerError("invalid_self_edit", "Users cannot delete themselves");
    await users.delete(id);
    logger.info("uaa.user-deleted", { userId: id });
    return reply.code(200).header("ETag", `"${row.version}"`).send(userToScim(row, []));
  });

  app.put<ById>("/Users/:id/password", async (request) => {
    const who = await bearerOf(context, request);
    const { id } = request.params;
    const { oldPassword, password } = objectOf(request);
    if (!hasScope(who, "password.write")) throw insufficientScope(["password.write"]);
    const self = who.user?.id === id;
    // A client is trusted to have asked for the old one itself; people only change their own.
    if (!self && who.user && !who.claims.scope.includes("uaa.admin")) throw insufficientScope(["uaa.admin"]);
    const row = await users.get(id);
    if (!row) throw notFound(id);
    if (typeof password !== "string") throw new UaaServerError("invalid_password", "A password must be provided.");
    if (row.origin !== "uaa") throw new UaaServerError("invalid_password", "The password of this user is kept elsewhere");
    if (self || oldPassword !== undefined) await checkOld(row, oldPassword, request.ip);
    if (self && oldPassword === password) throw new UaaServerError("invalid_password", "Your new password cannot be the same as the old password.");
    await users.setPassword(id, await kdf.hash(checkPassword(password)));
    logger.info("uaa.password-changed", { userId: id });
    return { status: "ok", message: "password updated" };
  });

  /** Guessing with a stolen token counts like guessing at the login. */
  async function checkOld(row: UserRow, oldPassword: unknown, address: string): Promise<void> {
    const name = { userName: row.user_name, origin: row.origin };
    if (await lockout.locked(name, address)) throw accountLocked();
    if (typeof oldPassword === "string" && oldPassword.length <= 1_000 && (await kdf.verify(oldPassword, row.password_hash, address))) return;
    if ((await lockout.failed(name, address)) === "locked") throw accountLocked();
    throw new UaaServerError("unauthorized", "Old password is incorrect");
  }

  app.patch<ById>("/Users/:id/status", async (request) => {
    await requireScope(context, request, "scim.write", "uaa.account_status.write");
    const { locked, passwordChangeRequired } = objectOf(request);
    const row = await users.get(request.params.id);
    if (!row) throw notFound(request.params.id);
    if (locked !== undefined && locked !== false) throw new UaaServerError("invalid_scim_resource", "Cannot set user account to locked. User accounts only become locked through exceeding the allowed failed login attempts.");
    if (passwordChangeRequired !== undefined && passwordChangeRequired !== true) throw new UaaServerError("invalid_scim_resource", "The requirement that this user change their password cannot be removed via API.");
    if (locked === false) await lockout.unlock({ userName: row.user_name, origin: row.origin });
    if (passwordChangeRequired === true) await users.requirePasswordChange(row.id);
    return { ...(locked !== undefined && { locked }), ...(passwordChangeRequired !== undefined && { passwordChangeRequired }) };
  });
}

/** A version in quotes or without, or `*`. @throws UaaServerError invalid_scim_resource */
function readVersion(header: string | undefined): number | undefined {
  if (header === undefined) throw new UaaServerError("invalid_scim_resource", "Missing If-Match for PUT");
  if (header.trim() === "*") return undefined;
  const version = /^(?:W\/)?"?(\d{1,9})"?$/.exec(header.trim())?.[1];
  if (version === undefined) throw new UaaServerError("invalid_scim_resource", "Invalid version match header");
  return Number(version);
}
