import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { basic, decode, form, issuer, running, wire, type Answer, type Running } from "./harness.ts";

// The requests of the command line, header by header, against one server, in the order in which a day goes.

const cliHeaders = { Accept: "application/json", Connection: "close", "User-Agent": "cf/8.7.10+5b7ce3c.2024-04-04 (go1.21.8; amd64 linux)", "X-B3-Traceid": "3b1f2c5d", "X-B3-Spanid": "3b1f2c5d" };
const formHeaders = { ...cliHeaders, Authorization: "Basic Y2Y6", "Content-Type": "application/x-www-form-urlencoded" };

let at: Running;
let admin = "";
beforeAll(async () => {
  at = await running({ publicUrls: ({ host }) => ({ uaa: `http://${String(host)}/uaa`, login: `http://${String(host)}/login` }) });
});
afterAll(() => at[Symbol.asyncDispose]());

const send = (method: string, path: string, headers: Record<string, string> = {}, body = ""): Promise<Answer> => wire(at.uaa.url, method, path, { ...cliHeaders, ...headers }, body);
const post = (body: string, query = "") => wire(at.uaa.url, "POST", `/oauth/token${query}`, formHeaders, body);
const withToken = (token: string) => ({ Authorization: `bearer ${token}`, "Content-Type": "application/json" });

describe("cf login", () => {
  test.each([["/login", undefined], ["/login", ""], ["/login", "bearer stale.token.here"], ["/login", "Basic Zm9vOmJhcg=="], ["/info", undefined], ["/login?origin=uaa", undefined]])(
    "GET %s with Authorization %j gives the prompts, and links in the form that was asked for",
    async (path, authorization) => {
      const answer = await send("GET", path, authorization === undefined ? {} : { Authorization: authorization });
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toMatch(/^application\/json/);
      expect(answer.json.prompts).toEqual({ username: ["text", "Email"], password: ["password", "Password"] });
      const host = new URL(at.uaa.url).host;
      expect(answer.json.links).toMatchObject({ uaa: `http://${host}/uaa`, login: `http://${host}/login` });
      expect(answer.json.app.version).toMatch(/^\d+\.\d+\.\d+$/);
      for (const prompt of Object.values(answer.json.prompts as Record<string, string[]>)) expect(prompt.length).toBeGreaterThanOrEqual(2);
    },
  );

  test("POST /oauth/token, keys in alphabetical order, Basic Y2Y6", async () => {
    const answer = await post("grant_type=password&password=admin+password&username=admin");
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ "cache-control": "no-store", pragma: "no-cache" });
    expect(Object.keys(answer.json).sort()).toEqual(["access_token", "expires_in", "jti", "refresh_token", "scope", "token_type"]);
    expect(answer.json).toMatchObject({ token_type: "bearer", jti: expect.stringMatching(/^[0-9a-f]{32}$/), refresh_token: expect.stringMatching(/^[0-9a-f]{32}-r$/) });
    // 599, and less where the second changes in between.
    expect(Math.abs(answer.json.expires_in - 595)).toBeLessThanOrEqual(5);
    admin = answer.json.access_token;
    const [header] = admin.split(".");
    expect(JSON.parse(Buffer.from(header ?? "", "base64url").toString())).toEqual({ alg: "RS256", typ: "JWT", kid: expect.any(String), jku: `${issuer}/token_keys` });
    const claims = decode(admin);
    expect(claims).toMatchObject({
      jti: answer.json.jti, sub: claims["user_id"], user_name: "admin", email: "admin", origin: "uaa", client_id: "cf", cid: "cf", azp: "cf", grant_type: "password",
      iss: `${issuer}/oauth/token`, zid: "uaa", revocable: true, client_auth_method: "none", rev_sig: expect.stringMatching(/^[0-9a-f]{8}$/),
      scope: expect.arrayContaining(["cloud_controller.admin", "cloud_controller.read", "cloud_controller.write", "openid", "scim.read", "scim.write", "uaa.user", "password.write"]),
      aud: expect.arrayContaining(["cf", "cloud_controller", "openid", "scim", "password", "uaa", "routing.router_groups"]),
    });
    expect((claims["aud"] as string[])[0]).toBe("cf");
    for (const name of ["iat", "exp", "auth_time"]) expect(Number.isInteger(claims[name])).toBe(true);
    expect((claims["exp"] as number) - (claims["iat"] as number)).toBe(600);
    expect(answer.json.scope).toBe((claims["scope"] as string[]).join(" "));
  });

  test("cf login --origin uaa sends the hint in the query; another origin is refused", async () => {
    const hint = (origin: string) => `?login_hint=${encodeURIComponent(JSON.stringify({ origin }))}`;
    expect((await post("grant_type=password&password=admin+password&username=admin", hint("uaa"))).status).toBe(200);
    const other = await post("grant_type=password&password=admin+password&username=admin", hint("ldap"));
    expect([other.status, other.json.error]).toEqual([401, "unauthorized"]);
  });

  test("wrong password, wrong name, and the passcode that nobody gave out", async () => {
    for (const body of ["grant_type=password&password=wrong&username=admin", "grant_type=password&password=wrong&username=nobody"]) {
      const answer = await post(body);
      expect([answer.status, answer.json]).toEqual([401, { error: "unauthorized", error_description: "Bad credentials" }]);
      expect(answer.headers["www-authenticate"]).toBe('Basic realm="UAA/client", error="unauthorized", error_description="Bad credentials"');
    }
    const passcode = await post("grant_type=password&passcode=abc");
    expect([passcode.status, passcode.json]).toEqual([401, { error: "unauthorized", error_description: "Invalid passcode" }]);
  });
});

test("cf auth ID SECRET --client-credentials: everything in the body, no Basic header", async () => {
  const answer = await send("POST", "/oauth/token", { "Content-Type": "application/x-www-form-urlencoded" }, form({ client_id: "admin", client_secret: "the admin client's secret", grant_type: "client_credentials" }));
  expect(answer.status).toBe(200);
  expect(answer.json).not.toHaveProperty("refresh_token");
  const claims = decode(answer.json.access_token);
  expect(claims).toMatchObject({ sub: "admin", client_id: "admin", grant_type: "client_credentials", authorities: claims["scope"] });
  for (const name of ["user_id", "user_name", "origin", "email", "client_auth_method"]) expect(claims).not.toHaveProperty(name);
});

test("a refresh gives new tokens; an unusable one asks for a new login", async () => {
  const first = await post("grant_type=password&password=admin+password&username=admin");
  const next = await post(form({ grant_type: "refresh_token", refresh_token: first.json.refresh_token }));
  expect(next.status).toBe(200);
  expect(next.json.refresh_token).not.toBe(first.json.refresh_token);
  expect(next.json.jti).not.toBe(first.json.jti);
  expect(decode(next.json.access_token)["auth_time"]).toBe(decode(first.json.access_token)["auth_time"]);
  for (const value of ["3b1f-r", `${"0".repeat(32)}-r`, first.json.access_token as string]) {
    const answer = await post(form({ grant_type: "refresh_token", refresh_token: value }));
    expect([answer.status, answer.json.error]).toEqual([401, "invalid_token"]);
  }
});

describe("users", () => {
  let bob = "";
  const newUser = '{"userName":"bob","password":"pw","origin":"","name":{"familyName":"bob","givenName":"bob"},"emails":[{"value":"bob","primary":true}]}';

  test("cf create-user bob pw", async () => {
    const none = await send("GET", `/Users?filter=${encodeURIComponent('userName eq "bob" and origin eq "uaa"')}`, withToken(admin));
    expect([none.status, none.json]).toEqual([200, { resources: [], startIndex: 1, itemsPerPage: 100, totalResults: 0, schemas: ["urn:scim:schemas:core:1.0"] }]);
    const made = await send("POST", "/Users", withToken(admin), newUser);
    expect([made.status, made.headers["etag"]]).toEqual([201, '"0"']);
    expect(made.json).toMatchObject({ id: expect.stringMatching(/^[0-9a-f-]{36}$/), userName: "bob", origin: "uaa", active: true, zoneId: "uaa", name: { familyName: "bob", givenName: "bob" }, emails: [{ value: "bob", primary: true }], meta: { version: 0 }, groups: [] });
    expect(made.text).not.toContain("pw");
    bob = made.json.id;
    const found = await send("GET", `/Users?filter=${encodeURIComponent('userName eq "BOB" and origin eq "uaa"')}`, withToken(admin));
    expect(found.json.resources.map(({ id }: { id: string }) => id)).toEqual([bob]);
    const again = await send("POST", "/Users", withToken(admin), newUser);
    expect([again.status, again.json]).toEqual([409, { error: "scim_resource_already_exists", message: "Username already in use: bob", error_description: "Username already in use: bob", origin: "uaa", user_id: bob }]);
  });

  test("a quote that the client did not escape cannot widen the search", async () => {
    const filter = (name: string) => send("GET", `/Users?filter=${encodeURIComponent(`userName eq "${name}" and origin eq "uaa"`)}`, withToken(admin));
    for (const name of ['x" or id pr or userName eq', 'bo"b', 'bob"', '\\']) {
      const answer = await filter(name);
      expect([name, answer.status, answer.json.error]).toEqual([name, 400, "invalid_scim_resource"]);
    }
  });

  test("cf passwd, and what follows from it", async () => {
    const login = await post("grant_type=password&password=pw&username=bob");
    const token = login.json.access_token as string;
    const change = (body: object) => send("PUT", `/Users/${bob}/password`, withToken(token), JSON.stringify(body));
    const wrong = await change({ oldPassword: "no", password: "better" });
    expect([wrong.status, wrong.json.error]).toEqual([401, "unauthorized"]);
    const same = await change({ oldPassword: "pw", password: "pw" });
    expect([same.status, same.json.error]).toEqual([422, "invalid_password"]);
    const done = await change({ oldPassword: "pw", password: "better" });
    expect([done.status, done.json]).toEqual([200, { status: "ok", message: "password updated" }]);
    expect((await post("grant_type=password&password=pw&username=bob")).status).toBe(401);
    expect((await post("grant_type=password&password=better&username=bob")).status).toBe(200);
    // What was issued before has ended.
    expect((await send("GET", `/Users/${bob}`, withToken(token))).json.error).toBe("invalid_token");
    expect((await post(form({ grant_type: "refresh_token", refresh_token: login.json.refresh_token }))).json.error).toBe("invalid_token");
  });

  test("cf delete-user bob: a JSON body with the id", async () => {
    const gone = await send("DELETE", `/Users/${bob}`, withToken(admin));
    expect([gone.status, gone.json.id]).toEqual([200, bob]);
    expect((await send("DELETE", `/Users/${bob}`, withToken(admin))).json.error).toBe("scim_resource_not_found");
    expect((await post("grant_type=password&password=better&username=bob")).json.error_description).toBe("Bad credentials");
  });
});

test("cf set-org-role ID ORG ROLE --client", async () => {
  const found = await send("GET", "/oauth/clients/ssh-proxy", withToken(admin));
  expect([found.status, found.json.client_id]).toEqual([200, "ssh-proxy"]);
  expect(found.text).not.toContain("secret");
  expect((await send("GET", "/oauth/clients/nobody", withToken(admin))).status).toBe(404);
  await at.createUser("plain", "pw");
  const plain = (await at.login("plain", "pw")).json.access_token as string;
  const refused = await send("GET", "/oauth/clients/ssh-proxy", withToken(plain));
  expect([refused.status, refused.json.error, refused.json.scope]).toEqual([403, "insufficient_scope", "clients.read clients.admin"]);
});

test("cf ssh-code: a code by bearer, which the proxy exchanges once", async () => {
  const answer = await send("GET", "/oauth/authorize?client_id=ssh-proxy&grant_type=authorization_code&response_type=code", withToken(admin));
  expect(answer.status).toBe(302);
  const location = new URL(answer.headers["location"] as string);
  expect(location.pathname).toBe("/login/login");
  const code = location.searchParams.get("code") ?? "";
  expect(code).toMatch(/^[\w-]{32}$/);
  const exchange = (secret = "ssh secret") => send("POST", "/oauth/token", { Authorization: basic("ssh-proxy", secret), "Content-Type": "application/x-www-form-urlencoded" }, form({ grant_type: "authorization_code", code }));
  expect((await exchange("wrong")).json.error).toBe("invalid_client");
  const tokens = await exchange();
  expect(tokens.status).toBe(200);
  expect(decode(tokens.json.access_token)).toMatchObject({ user_name: "admin", client_id: "ssh-proxy", scope: ["cloud_controller.admin", "cloud_controller.read", "cloud_controller.write", "openid"] });
  expect((await exchange()).json.error).toBe("invalid_grant");
});

test("cf logout: DELETE by jti ends the whole login, the opaque refresh token too", async () => {
  const login = await post("grant_type=password&password=admin+password&username=admin");
  const other = await post("grant_type=password&password=admin+password&username=admin");
  const token = login.json.access_token as string;
  const refreshed = await post(form({ grant_type: "refresh_token", refresh_token: login.json.refresh_token }));
  const jti = decode(token)["jti"] as string;
  expect((await send("DELETE", `/oauth/token/revoke/${jti}`, withToken(token))).status).toBe(200);
  expect((await send("GET", "/Users?count=1", withToken(token))).json.error).toBe("invalid_token");
  for (const value of [login.json.refresh_token, refreshed.json.refresh_token] as string[])
    expect((await post(form({ grant_type: "refresh_token", refresh_token: value }))).json.error).toBe("invalid_token");
  expect((await send("GET", "/Users?count=1", withToken(other.json.access_token as string))).status).toBe(200);
});

test("what validators read", async () => {
  const keys = await send("GET", "/token_keys");
  expect(keys.json.keys).toEqual([{ kid: expect.any(String), alg: "RS256", kty: "RSA", use: "sig", n: expect.any(String), e: "AQAB", value: expect.stringMatching(/^-----BEGIN PUBLIC KEY-----\n[\s\S]+-----END PUBLIC KEY-----$/) }]);
  expect(keys.text).not.toContain("PRIVATE");
  expect((await send("GET", "/token_keys", { "If-None-Match": keys.headers["etag"] as string })).status).toBe(304);
  expect((await send("GET", "/token_key")).json).toEqual(keys.json.keys[0]);
  expect((await send("GET", "/token_keys", { Authorization: basic("cloud_controller", "wrong") })).status).toBe(401);
  const discovery = await send("GET", "/.well-known/openid-configuration");
  const host = new URL(at.uaa.url).host;
  expect(discovery.json).toMatchObject({ issuer: `${issuer}/oauth/token`, jwks_uri: `http://${host}/uaa/token_keys`, token_endpoint: `http://${host}/login/oauth/token` });
  expect((await send("GET", "/healthz")).text).toBe("ok\n");
});
