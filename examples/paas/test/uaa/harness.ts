import { randomUUID } from "node:crypto";
import { request as httpRequest } from "node:http";
import { sql, type Kysely } from "kysely";
import { openDatabase } from "../../database.ts";
import { platformClients, startUaa, type Uaa, type UaaOptions } from "../../uaa/index.ts";
import { temporaryFolder } from "../support/bundle.ts";
import { testTemplate } from "../support/template.ts";

export const controllerSecret = "controller+secret%41/:x";
export const adminSecret = "the admin client's secret";
export const issuer = "http://uaa.cf.localhost:8080";
/** Cheap: the tests try many passwords. */
const passwordCost = { N: 1024, r: 8, p: 1 };

/** Where a database is kept while servers on it come and go: a folder, or the server that OPENCF_TEST_POSTGRES_URL names. */
interface Kept extends AsyncDisposable {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- rows are looked at directly
  open(): Promise<Kysely<any>>;
}

async function keptDatabase(): Promise<Kept> {
  const server = process.env["OPENCF_TEST_POSTGRES_URL"];
  if (server === undefined) {
    const folder = await temporaryFolder();
    const template = await testTemplate();
    return { open: () => openDatabase({ dataDir: folder.path, template }), [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
  }
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  const admin = await openDatabase<object>({ url: server });
  await sql`create database ${sql.id(name)}`.execute(admin);
  return {
    open: () => openDatabase({ url: url.href }),
    async [Symbol.asyncDispose]() {
      await sql`drop database ${sql.id(name)} with (force)`.execute(admin);
      await admin.destroy();
    },
  };
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what came over the wire, looked at by expectations
  json: any;
}

/** A request as it goes over the wire: nothing is added, nothing is followed. */
export function wire(base: string, method: string, path: string, headers: Record<string, string> = {}, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === "" ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
    const sent = httpRequest(`${base}${path}`, { method, agent: false, headers: { ...headers, ...length } }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject).on("end", () => {
        let json: unknown;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
    });
    sent.on("error", reject).end(body);
  });
}

export const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
export const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString();
export const decode = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

export interface Running extends AsyncDisposable {
  uaa: Uaa;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- rows are looked at directly
  db: Kysely<any>;
  logs: string[];
  /** Lets time pass. */
  pass(ms: number): void;
  call(method: string, path: string, headers?: Record<string, string>, body?: string): Promise<Answer>;
  json(method: string, path: string, token: string, body?: object, headers?: Record<string, string>): Promise<Answer>;
  token(fields: Record<string, string>, authorization?: string): Promise<Answer>;
  login(username: string, password: string): Promise<Answer>;
  adminToken(): Promise<string>;
  clientToken(id?: string, secret?: string): Promise<string>;
  createUser(userName: string, password: string): Promise<string>;
  restart(options?: Partial<UaaOptions>): Promise<Running>;
}

export async function running(options: Partial<UaaOptions> = {}, kept?: Kept): Promise<Running> {
  const database = kept ?? (await keptDatabase());
  const db = await database.open();
  const logs: string[] = [];
  let shiftMs = 0;
  const note = (event: string, data?: object) => void logs.push(`${event} ${JSON.stringify(data)}`);
  const uaa = await startUaa({
    db, issuer, passwordCost, clock: { now: () => Date.now() + shiftMs }, logger: { info: note, warn: note, error: note },
    admin: { username: "admin", password: "admin password" },
    clients: platformClients({ controllerSecret, adminSecret, sshProxySecret: "ssh secret" }), ...options,
  });
  let stopped: Promise<void> | undefined;
  let removed: Promise<void> | undefined;
  const stop = async () => {
    await uaa[Symbol.asyncDispose]();
    await db.destroy();
  };
  const call: Running["call"] = (method, path, headers, body) => wire(uaa.url, method, path, headers, body);
  const token: Running["token"] = (fields, authorization = "Basic Y2Y6") =>
    call("POST", "/oauth/token", { "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json", ...(authorization && { Authorization: authorization }) }, form(fields));
  const login: Running["login"] = (username, password) => token({ grant_type: "password", username, password });
  const json: Running["json"] = (method, path, bearer, body, headers = {}) =>
    call(method, path, { Accept: "application/json", "Content-Type": "application/json", ...(bearer && { Authorization: `bearer ${bearer}` }), ...headers }, body === undefined ? "" : JSON.stringify(body));
  const adminToken = async () => (await login("admin", "admin password")).json.access_token as string;
  return {
    uaa, db, logs, call, token, login, json, adminToken,
    pass: (ms) => void (shiftMs += ms),
    clientToken: async (id = "admin", secret = adminSecret) => (await token({ grant_type: "client_credentials" }, basic(id, secret))).json.access_token as string,
    async createUser(userName, password) {
      const made = await json("POST", "/Users", await adminToken(), { userName, password, origin: "", name: { familyName: userName, givenName: userName }, emails: [{ value: userName, primary: true }] });
      if (made.status !== 201) throw new Error(made.text);
      return made.json.id as string;
    },
    async restart(changed = {}) {
      await (stopped ??= stop());
      return running({ ...options, ...changed }, database);
    },
    async [Symbol.asyncDispose]() {
      await (stopped ??= stop());
      if (!kept) await (removed ??= Promise.resolve(database[Symbol.asyncDispose]()));
    },
  };
}
