import { createHmac, createPrivateKey, createSign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codes } from "../../uaa/index.ts";
import { createKdf } from "../../uaa/kdf.ts";
import { parseFilter } from "../../uaa/filter.ts";
import { sourceOf } from "../../uaa/lockout.ts";
import { permits } from "../../uaa/scopes.ts";
import { adminSecret, basic, controllerSecret, decode, form, issuer, running, type Running } from "./harness.ts";

let at: Running;
let admin = "";
let annId = "";
let ann = "";
beforeAll(async () => {
  at = await running();
  admin = await at.adminToken();
  annId = await at.createUser("ann", "ann's password");
  ann = (await at.login("ann", "ann's password")).json.access_token as string;
});
afterAll(() => at[Symbol.asyncDispose]());

const b64 = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const read = (token: string) => at.json("GET", `/Users/${annId}`, token);

describe("forged and misused tokens", () => {
  test("none of them is taken", async () => {
    const [header = "", payload = "", signature = ""] = admin.split(".");
    const head = JSON.parse(Buffer.from(header, "base64url").toString()) as object;
    const claims = decode(admin);
    const pem = (await at.call("GET", "/token_key")).json.value as string;
    const row = (await at.db.selectFrom("uaa_keys").selectAll().executeTakeFirst()) as { private_key: string } | undefined;
    const key = createPrivateKey(row?.private_key ?? "");
    const sign = (changedHead: object, changed: object) => {
      const text = `${b64({ ...head, ...changedHead })}.${b64({ ...claims, ...changed })}`;
      return `${text}.${createSign("RSA-SHA256").update(text).sign(key).toString("base64url")}`;
    };
    const hmac = (() => {
      const text = `${b64({ ...head, alg: "HS256" })}.${payload}`;
      return `${text}.${createHmac("sha256", pem).update(text).digest("base64url")}`;
    })();
    const now = Math.floor(Date.now() / 1000);
    expect((await read(sign({}, {}))).status).toBe(200);
    const rows: [string, string][] = [
      ["unsigned", `${b64({ ...head, alg: "none" })}.${payload}.`],
      ["the public key as an HMAC secret", hmac],
      ["another payload under the old signature", `${header}.${b64({ ...claims, scope: ["uaa.admin"] })}.${signature}`],
      ["another kid", sign({ kid: "other" }, {})],
      ["no kid", sign({ kid: undefined }, {})],
      ["expired", sign({}, { exp: now - 1 })],
      ["without an end", sign({}, { exp: undefined })],
      ["another issuer", sign({}, { iss: issuer })],
      ["a refresh token's id", sign({}, { jti: `${String(claims["jti"])}-r` })],
      ["an id that is not stored", sign({}, { jti: "0".repeat(32) })],
      ["a scope that the user does not hold", sign({}, { scope: ["uaa.god"] })],
      ["scope as text", sign({}, { scope: "scim.read" })],
      ["another salt", sign({}, { rev_sig: "00000000" })],
      ["another client", sign({}, { cid: "admin", client_id: "admin" })],
      ["two different clients", sign({}, { client_id: "admin" })],
      ["a user that does not exist", sign({}, { user_id: "nobody" })],
      ["nothing", ""],
      ["noise", "a.b.c"],
      ["a NUL", "a\\0b"],
    ];
    for (const [what, token] of rows) expect([what, (await read(token)).status]).toEqual([what, 401]);
    expect((await at.call("GET", `/Users/${annId}`)).json).toMatchObject({ error: "unauthorized" });
  });

  test("a key that the header points to is never fetched", async () => {
    let connections = 0;
    const trap = createServer((socket) => {
      connections += 1;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => trap.once("listening", resolve));
    const { port } = trap.address() as { port: number };
    const head = { alg: "RS256", kid: "theirs", jku: `http://127.0.0.1:${port}/keys`, x5u: `http://127.0.0.1:${port}/cert` };
    expect((await read(`${b64(head)}.${b64(decode(admin))}.${b64("signature")}`)).status).toBe(401);
    expect(connections).toBe(0);
    trap.close();
  });
});

describe("the token endpoint", () => {
  const formType = { "Content-Type": "application/x-www-form-urlencoded" };
  const grant = "grant_type=client_credentials";
  const good = basic("admin", adminSecret);

  test("credentials: raw and decoded readings, and nothing else", async () => {
    const encoded = basic("cloud_controller", encodeURIComponent(controllerSecret));
    const rows: [string, Record<string, string>, string, number, string?][] = [
      ["raw", { Authorization: basic("cloud_controller", controllerSecret) }, grant, 200],
      ["encoded", { Authorization: encoded }, grant, 200],
      ["encoded, and said so", { Authorization: encoded, "X-CF-ENCODED-CREDENTIALS": "true" }, grant, 200],
      ["raw, but said to be encoded", { Authorization: basic("cloud_controller", controllerSecret), "X-CF-ENCODED-CREDENTIALS": "true" }, grant, 401, "invalid_client"],
      ["in the body", {}, `${grant}&client_id=cloud_controller&client_secret=${encodeURIComponent(controllerSecret)}`, 200],
      ["lower case basic", { Authorization: good.replace("Basic", "basic") }, grant, 200],
      ["wrong secret", { Authorization: basic("admin", "wrong") }, grant, 401, "invalid_client"],
      ["unknown client", { Authorization: basic("nobody", "x") }, grant, 401, "invalid_client"],
      ["empty secret", { Authorization: basic("admin", "") }, grant, 401, "invalid_client"],
      ["only the id in the body", {}, `${grant}&client_id=admin`, 401, "invalid_client"],
      ["a secret for the client that has none", { Authorization: basic("cf", "x") }, "grant_type=password&username=ann&password=x", 401, "invalid_client"],
      ["NUL in the id", { Authorization: basic("ad\0min", adminSecret) }, grant, 401, "invalid_client"],
      ["no colon", { Authorization: `Basic ${b64("admin")}` }, grant, 401, "unauthorized"],
      ["nothing", {}, grant, 401, "unauthorized"],
      ["a bearer", { Authorization: `bearer ${admin}` }, grant, 401, "unauthorized"],
    ];
    for (const [what, headers, body, status, error] of rows) {
      const answer = await at.call("POST", "/oauth/token", { ...formType, ...headers }, body);
      expect([what, answer.status, answer.json?.error]).toEqual([what, status, error]);
    }
  });

  test("requests that make no sense", async () => {
    const rows: [string, string, number, string][] = [
      ["grant_type=client_credentials&grant_type=password", "application/x-www-form-urlencoded", 400, "invalid_request"],
      ["", "application/x-www-form-urlencoded", 400, "invalid_request"],
      ["grant_type=", "application/x-www-form-urlencoded", 400, "invalid_request"],
      ["grant_type=magic", "application/x-www-form-urlencoded", 400, "unsupported_grant_type"],
      ["grant_type=constructor", "application/x-www-form-urlencoded", 400, "unsupported_grant_type"],
      ["grant_type=__proto__", "application/x-www-form-urlencoded", 400, "unsupported_grant_type"],
      ["grant_type=password&username=a&password=b", "application/x-www-form-urlencoded", 401, "unauthorized_client"],
      ["grant_type=client_credentials&scope=uaa.god", "application/x-www-form-urlencoded", 400, "invalid_scope"],
      ["grant_type=client_credentials&x=%00", "application/x-www-form-urlencoded", 400, "invalid_request"],
      [`grant_type=client_credentials&x=${"y".repeat(70_000)}`, "application/x-www-form-urlencoded", 413, "invalid_request"],
      [Array.from({ length: 100 }, (_, i) => `p${i}=1`).join("&"), "application/x-www-form-urlencoded", 400, "invalid_request"],
      ['{"grant_type":"client_credentials"}', "application/json", 400, "invalid_request"],
      ['{"__proto__":{"grant_type":"client_credentials"}}', "application/json", 400, "invalid_request"],
      ["{", "application/json", 400, "invalid_request"],
      ["grant_type=client_credentials", "text/plain", 400, "invalid_request"],
      ["<a/>", "application/xml", 415, "invalid_request"],
    ];
    for (const [body, type, status, error] of rows) {
      const answer = await at.call("POST", "/oauth/token", { "Content-Type": type, Authorization: good }, body);
      expect([body.slice(0, 60), answer.status, answer.json]).toEqual([body.slice(0, 60), status, { error, error_description: expect.any(String) }]);
    }
    for (const method of ["GET", "PUT", "DELETE"]) expect([method, (await at.call(method, `/oauth/token?${grant}`, { Authorization: good })).json.error]).toEqual([method, "method_not_allowed"]);
    expect((await at.call("GET", "/elsewhere")).json).toEqual({ error: "not_found", error_description: "No such door" });
    expect((await at.call("GET", "/Users/%00", { Authorization: `bearer ${admin}` })).status).toBe(400);
    expect((await at.call("GET", "/Users/%E0%A4%A", { Authorization: `bearer ${admin}` })).status).toBe(400);
  });

  test("a refresh token of one client is nothing to another, and cannot widen itself", async () => {
    const made = await at.json("POST", "/oauth/clients", await at.clientToken(), { client_id: "other", client_secret: "s", authorized_grant_types: ["password", "refresh_token"], scope: ["openid", "cloud_controller.read"] });
    expect(made.status).toBe(201);
    const login = await at.token({ grant_type: "password", username: "ann", password: "ann's password", scope: "openid" }, basic("other", "s"));
    expect(login.json.scope).toBe("openid");
    const refresh_token = login.json.refresh_token as string;
    const foreign = await at.token({ grant_type: "refresh_token", refresh_token });
    expect([foreign.status, foreign.json.error]).toEqual([400, "invalid_grant"]);
    const wider = await at.token({ grant_type: "refresh_token", refresh_token, scope: "openid cloud_controller.read" }, basic("other", "s"));
    expect([wider.status, wider.json.error]).toEqual([400, "invalid_scope"]);
    expect((await at.token({ grant_type: "refresh_token", refresh_token }, basic("other", "s"))).json.scope).toBe("openid");
  });

  test("a code is bound to its client, its redirect and its challenge", async () => {
    const wrongRedirect = await at.call("GET", "/oauth/authorize?client_id=ssh-proxy&response_type=code&redirect_uri=http://evil.example/login", { Authorization: `bearer ${ann}` });
    expect([wrongRedirect.status, wrongRedirect.headers["location"]]).toEqual([400, undefined]);
    const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const get = async (query: string) => {
      const answer = await at.call("GET", `/oauth/authorize?client_id=ssh-proxy&response_type=code${query}`, { Authorization: `bearer ${ann}` });
      return new URL(String(answer.headers["location"])).searchParams.get("code") ?? "";
    };
    const give = (fields: Record<string, string>, client = basic("ssh-proxy", "ssh secret")) => at.token({ grant_type: "authorization_code", ...fields }, client);
    expect((await give({ code: await get("") }, basic("other", "s"))).json.error).toBe("unauthorized_client");
    expect((await give({ code: await get(`&code_challenge=${challenge}&code_challenge_method=S256`) })).json.error).toBe("invalid_grant");
    expect((await give({ code: await get(`&code_challenge=${challenge}&code_challenge_method=S256`), code_verifier: "wrong" })).json.error).toBe("invalid_grant");
    expect((await give({ code: await get(""), code_verifier: "unasked" })).json.error).toBe("invalid_grant");
    expect((await give({ code: await get(`&code_challenge=${challenge}&code_challenge_method=S256`), code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" })).status).toBe(200);
    expect((await give({ code: await get("&redirect_uri=%2Flogin") })).json.error).toBe("invalid_grant");
    expect((await give({ code: await get("&redirect_uri=%2Flogin"), redirect_uri: "/login" })).status).toBe(200);
    const late = await get("");
    at.pass(301_000);
    expect((await give({ code: late })).json.error).toBe("invalid_grant");
    const plain = await at.call("GET", `/oauth/authorize?client_id=ssh-proxy&response_type=code&code_challenge=${challenge}&code_challenge_method=plain`, { Authorization: `bearer ${ann}` });
    expect(plain.status).toBe(400);
    ann = (await at.login("ann", "ann's password")).json.access_token as string;
    admin = await at.adminToken();
  });
});

describe("who may do what", () => {
  test("a plain user, against everything", async () => {
    const me = annId;
    const other = (await at.json("GET", `/Users?filter=${encodeURIComponent('userName eq "admin"')}`, admin)).json.resources[0].id as string;
    const rows: [string, string, object | undefined, number][] = [
      ["GET", "/Users", undefined, 403],
      ["POST", "/Users", { userName: "x", password: "x" }, 403],
      ["GET", `/Users/${me}`, undefined, 200],
      ["GET", `/Users/${other}`, undefined, 403],
      ["PUT", `/Users/${other}/password`, { password: "owned" }, 403],
      ["PUT", `/Users/${other}/password`, { oldPassword: "admin password", password: "owned" }, 403],
      ["PUT", `/Users/${me}/password`, { password: "no old one" }, 401],
      ["DELETE", `/Users/${other}`, undefined, 403],
      ["DELETE", `/Users/${me}`, undefined, 403],
      ["PATCH", `/Users/${me}/status`, { locked: false }, 403],
      ["GET", "/Groups", undefined, 403],
      ["POST", "/Groups", { displayName: "x.y" }, 403],
      ["GET", "/oauth/clients", undefined, 403],
      ["GET", "/oauth/clients/cf", undefined, 403],
      ["POST", "/oauth/clients", { client_id: "x" }, 403],
      ["GET", `/oauth/token/revoke/user/${other}`, undefined, 403],
      ["GET", "/oauth/token/revoke/client/cf", undefined, 403],
      ["GET", `/oauth/token/list/user/${other}`, undefined, 403],
      ["GET", "/ids/Users", undefined, 400],
      ["GET", "/userinfo", undefined, 200],
    ];
    for (const [method, path, body, status] of rows) {
      const answer = await at.json(method, path, ann, body, { "If-Match": "*" });
      expect([method, path, answer.status]).toEqual([method, path, status]);
    }
    const adminLogin = await at.login("admin", "admin password");
    const revoke = await at.json("DELETE", `/oauth/token/revoke/${String(adminLogin.json.jti)}`, ann);
    expect([revoke.status, revoke.json.error]).toEqual([403, "insufficient_scope"]);
    expect((await at.json("DELETE", `/oauth/token/revoke/${"0".repeat(32)}`, ann)).status).toBe(404);
    for (const path of ["/introspect", "/check_token"])
      expect((await at.call("POST", path, { Authorization: basic("ssh-proxy", "ssh secret"), "Content-Type": "application/x-www-form-urlencoded" }, form({ token: ann }))).status).toBe(403);
    // The controller's client may look up, but not change passwords.
    const controller = await at.clientToken("cloud_controller", controllerSecret);
    expect((await at.json("PUT", `/Users/${other}/password`, controller, { password: "owned" })).status).toBe(403);
  });

  test("people edit only their own names", async () => {
    const edit = (body: object, headers: Record<string, string> = { "If-Match": "*" }) => at.json("PATCH", `/Users/${annId}`, ann, body, headers);
    expect((await edit({ name: { givenName: "Ann", familyName: "Other" } })).json.name).toEqual({ givenName: "Ann", familyName: "Other" });
    for (const body of [{ userName: "admin2" }, { emails: [{ value: "root@example.org" }] }, { active: false }, { origin: "ldap" }, { verified: false }])
      expect([body, (await edit(body)).json.error]).toEqual([body, "invalid_self_edit"]);
    const blind = await edit({ name: { givenName: "A" } }, {});
    expect([blind.status, blind.json.error]).toEqual([400, "invalid_scim_resource"]);
  });

  test("taking a group away ends what its tokens could do", async () => {
    const client = await at.clientToken();
    const group = (await at.json("GET", `/Groups?filter=${encodeURIComponent('displayName eq "scim.read"')}`, client)).json.resources[0].id as string;
    await at.json("POST", `/Groups/${group}/members`, client, { value: annId, type: "USER", origin: "uaa" });
    const raised = await at.login("ann", "ann's password");
    expect((await at.json("GET", "/Users", raised.json.access_token as string)).status).toBe(200);
    expect((await at.json("DELETE", `/Groups/${group}/members/${annId}`, client)).status).toBe(200);
    expect((await at.json("GET", "/Users", raised.json.access_token as string)).json.error).toBe("invalid_token");
    const narrowed = await at.token({ grant_type: "refresh_token", refresh_token: raised.json.refresh_token as string });
    expect([narrowed.status, narrowed.json.scope.includes("scim.read")]).toEqual([200, false]);
  });
});

test("the log and the answers hold no secret", async () => {
  await at.login("ann", "a wrong password 4711");
  await at.token({ grant_type: "refresh_token", refresh_token: "a wrong refresh token 4711" });
  await at.token({ grant_type: "client_credentials" }, basic("admin", "a wrong secret 4711"));
  const all = at.logs.join("\n");
  for (const secret of ["4711", "ann's password", adminSecret, controllerSecret, "admin password", "eyJ", "-r\""]) expect(all).not.toContain(secret);
  const users = await at.json("GET", "/Users", admin);
  expect(users.text).not.toMatch(/scrypt|salt|password"/);
  const rows = JSON.stringify(await at.db.selectFrom("uaa_tokens").selectAll().execute());
  const refresh = (await at.login("ann", "ann's password")).json.refresh_token as string;
  expect(rows + JSON.stringify(await at.db.selectFrom("uaa_tokens").selectAll().execute())).not.toContain(refresh);
});

test("a flood of logins from one place delays that place, and is bounded", async () => {
  const kdf = createKdf({ N: 2 ** 13, r: 8, p: 1 });
  const order: string[] = [];
  const from = (lane: string) => kdf.verify("x", null, lane).then(() => order.push(lane), (error: { code: string }) => order.push(error.code));
  const flood = Array.from({ length: 200 }, () => from("flood"));
  const others = ["a", "b", "c"].map(from);
  await Promise.all([...flood, ...others]);
  const refused = order.filter((one) => one === "temporarily_unavailable").length;
  expect(refused).toBe(200 - 2 - 128);
  const served = order.filter((one) => one !== "temporarily_unavailable");
  for (const lane of ["a", "b", "c"]) expect(served.indexOf(lane)).toBeLessThan(10);
  const hash = await kdf.hash("\u00e9");
  expect([await kdf.verify("e\u0301", hash), await kdf.verify("e", hash), await kdf.verify("", hash), await kdf.verify("x", undefined)]).toEqual([true, false, false, false]);
  expect([kdf.outdated(hash), createKdf({ N: 2 ** 14, r: 8, p: 1 }).outdated(hash)]).toEqual([false, true]);
});

describe("small parts", () => {
  test.each([
    ['userName eq "a"', true], ['userName eq "a" and origin eq "b" or id pr', true], ['(userName eq "a")', true], ['active eq true', true], ['USERNAME EQ "a"', true],
    ["", false], ["userName", false], ['userName eq a"', false], ['userName eq "a" origin', false], ['userName eq "a" and', false], ['(userName eq "a"', false],
    ['userName eq "a")', false], ['userName is "a"', false], ["userName eq 'a'", false], ['userName eq "a\nb"', false], ['userName eq "a""b"', false], ['userName eq "\\x"', false],
    [`${"(".repeat(30)}id pr${")".repeat(30)}`, false], [Array(1_100).fill("id pr").join(" or "), false], ["x".repeat(70_000), false],
  ])("filter %j", (text, fine) => {
    if (fine) expect(parseFilter(text)).toBeTruthy();
    else expect(() => parseFilter(text)).toThrow(expect.objectContaining({ code: "invalid_scim_resource" }));
  });

  test("a filter never fails in another way, and a quoted value comes back as it was", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => {
      try {
        parseFilter(text);
      } catch (error) {
        expect(error).toMatchObject({ code: "invalid_scim_resource" });
      }
      expect(parseFilter(`userName eq ${JSON.stringify(text)} and id pr`)).toMatchObject({ kind: "and", parts: [{ value: text }, { operator: "pr" }] });
    }));
  });

  test("any name survives the way through SCIM, or is refused as such", { timeout: 60_000 }, async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 40 }), async (name) => {
      const found = await at.json("GET", `/Users?filter=${encodeURIComponent(`userName eq ${JSON.stringify(name)} or email co ${JSON.stringify(name)} or familyName sw ${JSON.stringify(name)}`)}`, admin);
      expect(found.status).toBe(200);
      expect([401]).toContain((await at.login(`x${name.replaceAll("\0", "")}`, "no")).status);
    }), { numRuns: 40 });
  });

  test.each([["a.b", "a.b", true], ["a.b", "a.bc", false], ["zones.*.admin", "zones.x.admin", true], ["zones.*.admin", "zones.x.y.admin", false], ["zones.*.admin", "zonesxxxadmin", false], ["*", "uaa", true], ["*", "uaa.admin", false], ["a.*", "a.", false]])(
    "%s permits %s: %s", (pattern, scope, expected) => expect(permits(pattern, scope)).toBe(expected));

  test.each([["10.1.2.3", "10.1.2.3"], ["::ffff:10.1.2.3", "10.1.2.3"], ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"], ["2001:DB8:1:2::9", "2001:db8:1:2::/64"], ["::1", "0:0:0:0::/64"], ["fe80::1%eth0", "fe80:0:0:0::/64"]])(
    "the source of %s is %s", (address, source) => expect(sourceOf(address)).toBe(source));

  test("every error code is explained", async () => {
    const page = await readFile(new URL("../../../../docs/errors/paas-uaa.md", import.meta.url), "utf8");
    for (const code of codes) expect(page).toContain(`| \`${code}\` |`);
  });
});
