import { randomUUID } from "node:crypto";
import { createValidator } from "@opencf/uaa-client";
import type { InjectOptions } from "fastify";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createController, type Controller, type ControllerOptions } from "../../controller/controller.ts";
import { coreModules } from "../../controller/modules.ts";
import type { Identities, Identity } from "../../controller/api/ports.ts";
import { publicUrls } from "../../doors.ts";
import { testDatabase } from "./template.ts";

export const testDomain = "cf.test";

export interface Reply {
  status: number;
  // Bodies of answers are looked into freely by tests.
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any
  headers: Record<string, string | undefined>;
}

/** Somebody with a token: makes requests, and waits for jobs. */
export interface Client {
  readonly guid: string;
  readonly token: string;
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  get(path: string): Promise<Reply>;
  post(path: string, body?: unknown): Promise<Reply>;
  patch(path: string, body?: unknown): Promise<Reply>;
  delete(path: string): Promise<Reply>;
  /** Follows `Location` until the job has ended. */
  job(reply: Reply): Promise<Reply>;
}

export interface TestController extends AsyncDisposable {
  readonly controller: Controller;
  readonly admin: Client;
  /** A client with these scopes; default: what every user has. */
  user(name: string, scopes?: readonly string[]): Promise<Client>;
  readonly anonymous: Client;
  readonly identities: Identity[];
  /** An organization and a space in it, made by the admin. */
  space(names?: { organization?: string; space?: string }): Promise<{ organization: string; space: string }>;
  signToken(claims: Record<string, unknown>, expiresInSeconds?: number): Promise<string>;
}

const issuer = "http://uaa.cf.test/oauth/token";

/** The controller with its real routes, a real database and really signed tokens; only the names of users come from a list. */
export async function startTestController(options: Partial<ControllerOptions> = {}): Promise<TestController> {
  const database = options.db ? undefined : await testDatabase();
  const { privateKey, publicKey } = await generateKeyPair("RS256");
  const kid = "test";
  const validator = createValidator({ issuer, audience: "cloud_controller", keys: [{ ...(await exportJWK(publicKey)), kid, alg: "RS256" }], clockToleranceSeconds: 0 });
  const identities: Identity[] = [];
  const controller = await createController({
    db: database?.db as NonNullable<typeof database>["db"],
    validator,
    identities: listedIdentities(identities),
    domain: testDomain,
    urlsOf: (headers) => publicUrls(headers, testDomain),
    modules: coreModules,
    ...options,
  });

  const signToken = (claims: Record<string, unknown>, expiresInSeconds = 600): Promise<string> =>
    new SignJWT({ jti: randomUUID().replaceAll("-", ""), aud: ["cloud_controller", "cf"], client_id: "cf", cid: "cf", grant_type: "password", zid: "uaa", ...claims })
      .setProtectedHeader({ alg: "RS256", kid, typ: "JWT" }).setIssuer(issuer).setIssuedAt().setExpirationTime(Math.floor(Date.now() / 1_000) + expiresInSeconds).sign(privateKey);

  const client = (guid: string, token: string): Client => {
    const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> => {
      const response = await controller.api.fastify.inject({
        method: method as NonNullable<InjectOptions["method"]>,
        url: path.replace(/^https?:\/\/[^/]+/, ""),
        headers: { host: `api.${testDomain}`, "content-type": "application/json", ...(token !== "" && { authorization: `bearer ${token}` }), ...headers },
        ...(body !== undefined && { payload: (typeof body === "string" ? body : JSON.stringify(body)) }),
      });
      const isJson = /json/.test(String(response.headers["content-type"]));
      return { status: response.statusCode, body: isJson && response.payload !== "" ? response.json() : response.payload, headers: response.headers as Reply["headers"] };
    };
    return {
      guid, token, send,
      get: (path) => send("GET", path),
      post: (path, body) => send("POST", path, body),
      patch: (path, body) => send("PATCH", path, body),
      delete: (path) => send("DELETE", path),
      async job(reply) {
        if (reply.status !== 202 || !reply.headers["location"]) throw new Error(`no job: ${reply.status} ${JSON.stringify(reply.body)}`);
        for (let round = 0; round < 30; round++) {
          const job = await send("GET", reply.headers["location"]);
          if (job.body.state !== "PROCESSING") return job;
        }
        throw new Error("the job does not end");
      },
    };
  };
  const user = async (name: string, scopes: readonly string[] = ["cloud_controller.read", "cloud_controller.write"]): Promise<Client> => {
    let identity = identities.find(({ username }) => username === name);
    if (!identity) identities.push((identity = { guid: randomUUID(), username: name, origin: "uaa" }));
    return client(identity.guid, await signToken({
      sub: identity.guid, user_id: identity.guid, user_name: name, email: `${name}@example.org`, origin: "uaa", scope: [...scopes, "openid"],
    }));
  };
  const admin = await user("admin", ["cloud_controller.admin", "cloud_controller.read", "cloud_controller.write"]);

  return {
    controller, admin, user, identities, signToken,
    anonymous: client("", ""),
    async space({ organization = `org-${randomUUID()}`, space = "dev" } = {}) {
      const org = await admin.post("/v3/organizations", { name: organization });
      const made = await admin.post("/v3/spaces", { name: space, relationships: { organization: { data: { guid: org.body.guid } } } });
      if (made.status !== 201) throw new Error(`no space: ${JSON.stringify(made.body)}`);
      return { organization: org.body.guid as string, space: made.body.guid as string };
    },
    async [Symbol.asyncDispose]() {
      await controller[Symbol.asyncDispose]();
      await database?.[Symbol.asyncDispose]();
    },
  };
}

function listedIdentities(list: readonly Identity[]): Identities {
  return {
    findByIds: (guids) => Promise.resolve(list.filter(({ guid }) => guids.includes(guid))),
    findByNames: (names, { origins } = {}) => Promise.resolve(list.filter(({ username, origin }) => names.includes(username) && (!origins || origins.includes(origin)))),
  };
}
