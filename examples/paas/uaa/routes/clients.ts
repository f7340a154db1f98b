import type { FastifyInstance, FastifyRequest } from "fastify";
import { bearerOf, requireScope, type UaaContext } from "../context.ts";
import type { Client, ClientDraft } from "../clients.ts";
import { insufficientScope, UaaServerError } from "../errors.ts";
import { objectOf } from "../form.ts";
import { schemas } from "../scim.ts";
import { hasScope } from "../verify.ts";

type ById = { Params: { id: string } };

const toWire = (client: Client) => ({
  client_id: client.id,
  ...(client.name !== client.id && { name: client.name }),
  scope: client.scope,
  resource_ids: ["none"],
  authorized_grant_types: client.grantTypes,
  redirect_uri: client.redirectUris,
  autoapprove: client.autoapprove === true ? true : [...client.autoapprove],
  authorities: client.authorities,
  ...(client.accessValidityS !== undefined && { access_token_validity: client.accessValidityS }),
  ...(client.refreshValidityS !== undefined && { refresh_token_validity: client.refreshValidityS }),
  ...(client.requiredUserGroups.length > 0 && { required_user_groups: client.requiredUserGroups }),
  ...(client.allowPublic && { allowpublic: true }),
  lastModified: client.modifiedAt,
});

/** OAuth clients. Those of the configuration can be read, but are changed there. */
export function clientRoutes(app: FastifyInstance, context: UaaContext): void {
  const { clients } = context;
  const notFound = (id: string) => new UaaServerError("not_found", `No client with requested id: ${id}`);
  const invalid = (why: string) => new UaaServerError("invalid_client", why, { status: 400 });

  app.get("/oauth/clients", async (request) => {
    await requireScope(context, request, "clients.read", "clients.admin");
    const all = await clients.list();
    return { resources: all.map(toWire), startIndex: 1, itemsPerPage: all.length, totalResults: all.length, schemas };
  });

  app.get<ById>("/oauth/clients/:id", async (request) => {
    const who = await bearerOf(context, request);
    if (!hasScope(who, "clients.read", "clients.admin")) throw insufficientScope(["clients.read", "clients.admin"]);
    const client = await clients.get(request.params.id);
    if (!client) throw notFound(request.params.id);
    return toWire(client);
  });

  app.post("/oauth/clients", async (request, reply) => {
    await requireScope(context, request, "clients.admin");
    const { client_secret: secret = "" } = objectOf(request);
    const draft = readClient(request);
    if (typeof secret !== "string" || secret.length > 255) throw invalid("client_secret must be text of at most 255 characters");
    if (secret === "" && draft.grantTypes.includes("client_credentials")) throw invalid("client_secret is required for client_credentials");
    return reply.code(201).send(toWire(await clients.create(draft, secret)));
  });

  app.put<ById>("/oauth/clients/:id", async (request) => {
    await requireScope(context, request, "clients.admin");
    const client = await clients.update({ ...readClient(request), id: request.params.id });
    if (!client) throw notFound(request.params.id);
    return toWire(client);
  });

  app.put<ById>("/oauth/clients/:id/secret", async (request) => {
    await requireScope(context, request, "clients.admin");
    const { secret, changeMode } = objectOf(request);
    if (typeof secret !== "string" || secret === "" || secret.length > 255) throw invalid("secret must be text of at most 255 characters");
    if (!(await clients.setSecret(request.params.id, secret, { add: changeMode === "ADD" }))) throw notFound(request.params.id);
    return { status: "ok", message: changeMode === "ADD" ? "Secret is added" : "secret updated" };
  });

  app.delete<ById>("/oauth/clients/:id", async (request) => {
    await requireScope(context, request, "clients.admin");
    const client = await clients.get(request.params.id);
    if (!client || !(await clients.delete(client.id))) throw notFound(request.params.id);
    return toWire(client);
  });

  function readClient(request: FastifyRequest): ClientDraft {
    const body = objectOf(request);
    const list = (name: string): string[] => {
      const value = body[name] ?? [];
      const all = typeof value === "string" ? value.split(",").map((one) => one.trim()) : value;
      if (!Array.isArray(all) || all.length > 500 || all.some((one) => typeof one !== "string" || one.length > 1_000 || /[\s\0]/.test(one))) throw invalid(`${name} must be a list of words`);
      return (all as string[]).filter((one) => one !== "");
    };
    const seconds = (name: string): number | undefined => {
      const value = body[name];
      if (value === undefined || value === null) return undefined;
      if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 315_360_000) throw invalid(`${name} must be a number of seconds`);
      return value as number;
    };
    const id = body["client_id"];
    if (typeof id !== "string" || !/^[^\s:\0]{1,255}$/.test(id)) throw invalid("client_id must be one word without a colon");
    const grantTypes = list("authorized_grant_types");
    if (grantTypes.length === 0) throw invalid("An authorized grant type is needed");
    const name = body["name"];
    return {
      id,
      name: typeof name === "string" && !name.includes("\0") ? name.slice(0, 255) : id,
      scope: list("scope"),
      authorities: list("authorities"),
      grantTypes,
      redirectUris: list("redirect_uri"),
      autoapprove: body["autoapprove"] === true || body["autoapprove"] === "true" ? true : body["autoapprove"] === false ? [] : list("autoapprove"),
      accessValidityS: seconds("access_token_validity"),
      refreshValidityS: seconds("refresh_token_validity"),
      requiredUserGroups: list("required_user_groups"),
      allowPublic: body["allowpublic"] === true,
    };
  }
}
