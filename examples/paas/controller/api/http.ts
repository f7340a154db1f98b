import { randomUUID } from "node:crypto";
import multipart from "@fastify/multipart";
import { fastify, type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { foreignKeyViolation, isUnavailable, uniqueViolation, type Database } from "../../database.ts";
import { loadAccess, nobody, type Access } from "./access.ts";
import { systemActor, type Actor } from "./audit.ts";
import { badQuery, bodiesOf, CfError, notAuthorized } from "./errors.ts";
import { pagination, refuseUnknownKeys, selectPage, slicePage, type PageSpec } from "./page.ts";
import type { Logger, TokenHolder, TokenValidator, Urls, UrlsOf } from "./ports.ts";
import type { Condition, RawQuery } from "./query.ts";
import type { ControllerTables, RowOf } from "../data/schema.ts";
import { checker, type Static, type TSchema } from "./validate.ts";

/** One request as a handler sees it. */
export interface Call<Body = unknown> {
  /** The `:guid` of the path. */
  readonly guid: string;
  /** Any part of the path by its name. */
  param(name: string): string;
  readonly query: RawQuery;
  readonly body: Body;
  readonly access: Access;
  /** Who asks; the holder of no token on calls that need none. */
  readonly actor: Actor;
  readonly holder: TokenHolder | undefined;
  readonly urls: Urls;
  /** Shown by the command line with whatever the answer is. */
  warn(text: string): void;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** An answer other than `200` with a JSON body. */
export class Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, body?: unknown, headers: Record<string, string> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

export const created = (body: object): Answer => new Answer(201, body);
export const noContent = (): Answer => new Answer(204);
/** `202` with the address of a job; some uploads answer a body beside it. */
export const accepted = (call: Call, jobGuid: string, body?: object): Answer => new Answer(202, body, { location: `${call.urls.api}/v3/jobs/${jobGuid}` });
/** `202` with a body and no job. */
export const acceptedBody = (body: object): Answer => new Answer(202, body);

/** What a handler gives: an object (200), an {@link Answer}, or undefined when it has answered through `call.reply` itself. */
export type Result = object | Answer | undefined;

export interface RouteOptions<Schema extends TSchema = TSchema> {
  /** `required` (default), `optional` (a bad token is refused, none is fine), or `none`. */
  auth?: "required" | "optional" | "none";
  /** Body schema; unknown keys are refused with 422. Without it the body is handed over unchecked. */
  body?: Schema;
  /** Query keys; on GET any other is refused. Default none; `any` takes everything. */
  query?: readonly string[] | "any";
  /** Default 1 MiB. Uploads through `call.request.parts()` have limits of their own. */
  bodyLimitBytes?: number;
}

export type Handler<Schema extends TSchema> = (call: Call<Static<Schema>>) => Promise<Result> | Result;

/** Adds rows to a list's `included`: `{ spaces: [...] }`. Rows of one guid are shown once. */
export type Include<Row> = (rows: readonly Row[], call: Call) => Promise<Record<string, readonly object[]>>;

export interface ListSpec<Table extends keyof ControllerTables> extends PageSpec<Table>, Pick<RouteOptions, "auth"> {
  /** Conditions besides the filters: what the caller may see, what the path says. May throw 404. */
  scope?: (call: Call) => Promise<readonly (Condition | undefined)[]> | readonly (Condition | undefined)[];
  includes?: Readonly<Record<string, Include<RowOf<Table>>>>;
  /** All rows of a page at once, so that what belongs to them is read in one query. */
  present: (rows: readonly RowOf<Table>[], call: Call) => Promise<object[]> | object[];
}

/** Where routes are declared. */
export interface Api {
  get<S extends TSchema>(path: string, ...rest: [Handler<S>] | [RouteOptions<S>, Handler<S>]): void;
  post<S extends TSchema>(path: string, ...rest: [Handler<S>] | [RouteOptions<S>, Handler<S>]): void;
  put<S extends TSchema>(path: string, ...rest: [Handler<S>] | [RouteOptions<S>, Handler<S>]): void;
  patch<S extends TSchema>(path: string, ...rest: [Handler<S>] | [RouteOptions<S>, Handler<S>]): void;
  delete<S extends TSchema>(path: string, ...rest: [Handler<S>] | [RouteOptions<S>, Handler<S>]): void;
  /** A list with paging, filters, ordering and includes. */
  list<Table extends keyof ControllerTables>(path: string, spec: ListSpec<Table>): void;
  /** A list that comes from memory: `rows` are presented already. Query keys beyond paging: `query` (default none). */
  listOf(path: string, options: Pick<RouteOptions, "auth" | "query">, rows: (call: Call) => Promise<readonly object[]> | readonly object[]): void;
  /** For what the rest does not cover. */
  readonly fastify: FastifyInstance;
}

export interface HttpOptions {
  db: Database<ControllerTables>;
  validator: TokenValidator;
  urlsOf: UrlsOf;
  log: Logger;
}

const mebibyte = 1_048_576;

export function createApi({ db, validator, urlsOf, log }: HttpOptions): Api {
  const app = fastify({
    bodyLimit: mebibyte,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
    genReqId: ({ headers }) => {
      const sent = [headers["x-vcap-request-id"]].flat()[0]?.replace(/[^\w-]/g, "").slice(0, 200);
      return sent === undefined || sent === "" ? randomUUID() : `${sent}::${randomUUID()}`;
    },
    // A path that cannot be decoded, or that is too long.
    frameworkErrors: (_error, _request, reply) => void sendError(reply as FastifyReply, new CfError("UnknownRequest")),
    forceCloseConnections: "idle",
    return503OnClosing: true,
  });
  void app.register(multipart, { limits: { fields: 20, files: 5, fileSize: Number.MAX_SAFE_INTEGER, fieldSize: 32 * mebibyte } });
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  // The command line says `application/json` on everything, with or without a body, and tools send JSON under other names.
  app.addContentTypeParser("*", { parseAs: "string" }, (request, text, done) => {
    if (/yaml/i.test(request.headers["content-type"] ?? "")) return done(null, text);
    if (text === "") return done(null, undefined);
    void parseJson(request, text as string, (error, value) => (error ? done(new CfError("MessageParseError")) : done(null, value)));
  });
  app.addHook("onRequest", (request, reply, done) => {
    void reply.header("x-vcap-request-id", request.id).header("x-content-type-options", "nosniff");
    done();
  });
  app.addHook("onResponse", (request, reply, done) => {
    log.debug?.("request", { id: request.id, method: request.method, route: request.routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) });
    done();
  });
  app.setNotFoundHandler((_request, reply) => sendError(reply, new CfError("UnknownRequest")));
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const known = asCfError(error) ?? refusedByDatabase(error, request.method);
    if (!known) log.error("request failed", { id: request.id, method: request.method, route: request.routeOptions.url, error: error.stack ?? String(error) });
    return sendError(reply, known ?? error);
  });

  const add = (method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE") => (path: string, ...rest: [Handler<never>] | [RouteOptions<never>, Handler<never>]): void => {
    const [options, handler] = rest.length === 2 ? rest : [{} as RouteOptions<never>, rest[0]];
    const { auth = "required", body: schema, query: keys = method === "GET" ? [] : "any", bodyLimitBytes } = options as RouteOptions;
    const check = schema && checker(schema);
    app.route({
      method,
      url: path,
      ...(bodyLimitBytes !== undefined && { bodyLimit: bodyLimitBytes }),
      onRequest: async (request) => {
        // Before the body is read: a token that holds now may expire during a long upload.
        (request as Partial<Authenticated>).holder = auth === "none" ? undefined : await authenticate(request, auth === "required", method !== "GET");
      },
      handler: async (request, reply) => {
        const { holder } = request as Partial<Authenticated>;
        const query = queryOf(request);
        if (keys !== "any") refuseUnknownKeys(query, keys);
        const access = holder ? await loadAccess(db, holder) : nobody;
        const warnings: string[] = [];
        const call = makeCall({ request, reply, holder, access, query, urls: urlsOf(request.headers), warnings });
        const result = await (handler as unknown as Handler<TSchema>)(check ? withBody(call, check(request.body ?? {})) : call);
        if (reply.sent || reply.raw.headersSent) return reply;
        if (warnings.length > 0) void reply.header("x-cf-warnings", warnings.map(encodeURIComponent).join(","));
        if (!(result instanceof Answer)) return reply.send(result ?? {});
        void reply.code(result.status).headers(result.headers);
        return result.body === undefined ? reply.send() : reply.send(result.body);
      },
    });
  };

  async function authenticate(request: FastifyRequest, required: boolean, writes: boolean): Promise<TokenHolder | undefined> {
    const token = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (token === undefined) {
      if (required) throw new CfError("NotAuthenticated");
      return undefined;
    }
    const holder = await validator.validate(token).catch((error: unknown) => {
      throw new CfError((error as { retryable?: boolean }).retryable === true ? "UaaUnavailable" : "InvalidAuthToken", [], { cause: error });
    });
    const has = (scope: string): boolean => holder.hasScope(`cloud_controller.${scope}`);
    if (!(has("admin") || has("write") || (!writes && (has("read") || has("admin_read_only") || has("global_auditor"))))) throw notAuthorized();
    return holder;
  }

  const answerList = (call: Call, page: { total: number; page: number; perPage: number }, resources: readonly object[], included?: object): object => ({
    pagination: pagination(`${call.urls.api}${call.request.url.split("?")[0]?.replace(/\/+$/, "")}`, call.query, page),
    resources,
    ...(included && { included }),
  });

  const api: Api = {
    fastify: app,
    get: add("GET") as Api["get"], post: add("POST") as Api["post"], put: add("PUT") as Api["put"],
    patch: add("PATCH") as Api["patch"], delete: add("DELETE") as Api["delete"],
    list(path, spec) {
      const { scope, includes, present, auth = "required" } = spec;
      const pageSpec = { ...spec, otherKeys: [...(includes ? ["include"] : []), ...(spec.otherKeys ?? [])] };
      api.get(path, { auth, query: "any" }, async (call) => {
        const wanted = includes ? includeNames(call.query, Object.keys(includes)) : [];
        const page = await selectPage(db, pageSpec, call.query, (await scope?.(call)) ?? []);
        const included = includes && wanted.length > 0 ? await gather(wanted.map((name) => includes[name] as Include<never>), page.rows as never, call) : undefined;
        return answerList(call, page, await present(page.rows, call), included);
      });
    },
    listOf(path, { auth = "required", query = [] }, rows) {
      const keys = query === "any" ? query : ["page", "per_page", "order_by", "guids", "created_ats", "updated_ats", "label_selector", ...query];
      api.get(path, { auth, query: keys }, async (call) => {
        const page = slicePage(await rows(call), call.query);
        return answerList(call, page, page.rows);
      });
    },
  };
  return api;
}

/** Reads `include`; refuses what this resource cannot include. */
export function includeNames(query: RawQuery, allowed: readonly string[]): string[] {
  const names = query["include"]?.split(",").filter((each) => each !== "") ?? [];
  const wrong = names.filter((each) => !allowed.includes(each));
  if (wrong.length > 0)
    throw new CfError("BadQueryParameter", `The query parameter is invalid: Invalid included resource: ${wrong.map((each) => `'${each}'`).join(", ")}. Valid included resources are: ${allowed.map((each) => `'${each}'`).join(", ")}`);
  return names;
}

/** `included` of a single resource or a list. */
export async function gather<Row>(includes: readonly Include<Row>[], rows: readonly Row[], call: Call): Promise<Record<string, object[]>> {
  const all = new Map<string, Map<string, object>>();
  for (const include of includes)
    for (const [name, resources] of Object.entries(await include(rows, call))) {
      const known = all.get(name) ?? new Map<string, object>();
      all.set(name, known);
      for (const resource of resources) known.set((resource as { guid: string }).guid, resource);
    }
  return Object.fromEntries([...all].map(([name, resources]) => [name, [...resources.values()]]));
}

interface Authenticated {
  holder: TokenHolder | undefined;
}

interface CallParts {
  request: FastifyRequest;
  reply: FastifyReply;
  holder: TokenHolder | undefined;
  access: Access;
  query: RawQuery;
  urls: Urls;
  warnings: string[];
}

function makeCall({ request, reply, holder, access, query, urls, warnings }: CallParts): Call {
  const params = request.params as Record<string, string>;
  let gone: AbortSignal | undefined;
  return {
    guid: params["guid"] ?? "",
    param: (name) => params[name] ?? "",
    query, access, urls, request, reply, holder,
    body: request.body,
    actor: holder ? { guid: access.userGuid, type: "user", name: holder.userName ?? holder.email ?? holder.clientId } : systemActor,
    warn: (text) => void warnings.push(text),
    get signal() {
      gone ??= goneSignal(reply);
      return gone;
    },
  };
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => controller.abort());
  return controller.signal;
}

const withBody = <T>(call: Call, body: T): Call<T> => Object.create(call, { body: { value: body, enumerable: true } }) as Call<T>;

function queryOf(request: FastifyRequest): RawQuery {
  // A key that comes twice counts as one list.
  return Object.fromEntries(Object.entries(request.query as Record<string, string | string[]>).map(([key, value]) => [key, [value].flat().join(",")]));
}

function asCfError(error: FastifyError | Error): CfError | undefined {
  if (error instanceof CfError) return error;
  if (isUnavailable(error)) return new CfError("ServiceUnavailable", "The database is unavailable at the moment. Try again.", { cause: error });
  const { code, statusCode } = error as FastifyError;
  if (statusCode === 413 || code === "FST_ERR_CTP_BODY_TOO_LARGE" || code === "FST_REQ_FILE_TOO_LARGE") return new CfError("RequestTooLarge");
  if (code === "FST_ERR_BAD_URL") return new CfError("UnknownRequest");
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE" || code === "FST_INVALID_MULTIPART_CONTENT_TYPE") return new CfError("BadRequest", "Bad request: the content type does not fit");
  if (statusCode === 400) return new CfError("MessageParseError");
  return undefined;
}

/** What a check before did not find: text no database stores, numbers out of range, something that was removed or made meanwhile. */
function refusedByDatabase(error: unknown, method: string): CfError | undefined {
  const code = String((error as { code?: unknown }).code);
  if (/^22[0-9A-Z]{3}$/.test(code)) {
    const text = "A value holds characters that are not allowed, or is out of range.";
    return method === "GET" ? badQuery(text) : new CfError("UnprocessableEntity", text, { cause: error });
  }
  if (foreignKeyViolation(error) !== undefined) return new CfError("UnprocessableEntity", "The request names something that does not exist any more.", { cause: error });
  if (uniqueViolation(error) !== undefined) return new CfError("UniquenessError", "The same was made by another request at this moment.", { cause: error });
  return undefined;
}

function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const known = error instanceof CfError ? error : new CfError("UnknownError");
  return reply.code(known.status).headers(known.headers).type("application/json; charset=utf-8").send({ errors: bodiesOf(known) });
}
