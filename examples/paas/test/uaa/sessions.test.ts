import { createServer } from "node:http";
import { createValidator } from "@opencf/uaa-client";
import { describe, expect, test, vi } from "vitest";
import { createIdentities } from "../../uaa/index.ts";
import { adminSecret, basic, controllerSecret, decode, form, issuer, running, wire, type Running } from "./harness.ts";

// Most of these start several servers, which takes a while on a machine that has other things to do.
vi.setConfig({ testTimeout: 60_000 });

const locked = "Your account has been locked because of too many failed attempts to login.";
const refresh = (at: Running, refresh_token: string) => at.token({ grant_type: "refresh_token", refresh_token });
const from = (at: Running, address: string, password: string, username = "ann") =>
  wire(at.uaa.url, "POST", "/oauth/token", { Authorization: "Basic Y2Y6", "Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address }, form({ grant_type: "password", username, password }));

describe("refresh tokens", () => {
  test("parallel runs of the command line all get through; a late replay ends the login", async () => {
    await using at = await running();
    const first = (await at.login("admin", "admin password")).json;
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(at, first.refresh_token as string)));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const values = answers.map(({ json }) => json.refresh_token as string);
    expect(new Set(values).size).toBe(8);
    const chained = await Promise.all(values.map((value) => refresh(at, value)));
    expect(chained.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const other = (await at.login("admin", "admin password")).json;

    at.pass(31_000);
    const latest = chained[3]?.json as { refresh_token: string; access_token: string };
    expect((await at.json("GET", "/Users", latest.access_token)).status).toBe(200);
    const replay = await refresh(at, first.refresh_token as string);
    expect([replay.status, replay.json.error]).toEqual([401, "invalid_token"]);
    expect((await refresh(at, latest.refresh_token)).json.error).toBe("invalid_token");
    expect((await at.json("GET", "/Users", latest.access_token)).json.error).toBe("invalid_token");
    expect(at.logs.some((line) => line.startsWith("uaa.refresh-token-reused"))).toBe(true);
    // Another login of the same user is not touched.
    expect((await refresh(at, other.refresh_token as string)).status).toBe(200);

    // Rotation does not make a login last for ever.
    const long = (await at.login("admin", "admin password")).json;
    at.pass(2_592_000_000 - 10_000);
    const last = await refresh(at, long.refresh_token as string);
    expect(last.status).toBe(200);
    at.pass(11_000);
    expect((await refresh(at, last.json.refresh_token as string)).json.error).toBe("invalid_token");
    await at.uaa.tokens.prune();
    expect(await at.db.selectFrom("uaa_tokens").select("id").where("kind", "=", "refresh").execute()).toEqual([]);
    expect((await at.db.selectFrom("uaa_families").select("id").execute()).length).toBeLessThanOrEqual(1);
  });

  test("a revocation that races with refreshes wins: nothing of the login is left", async () => {
    await using at = await running();
    for (let round = 0; round < 5; round += 1) {
      const login = (await at.login("admin", "admin password")).json;
      const racing = [1, 2, 3].map(() => refresh(at, login.refresh_token as string));
      const revoked = at.json("DELETE", `/oauth/token/revoke/${String(login.jti)}`, login.access_token as string);
      const answers = await Promise.all(racing);
      expect((await revoked).status).toBe(200);
      for (const { json } of answers) if (json.refresh_token) expect((await refresh(at, json.refresh_token as string)).json.error).toBe("invalid_token");
    }
    expect(await at.db.selectFrom("uaa_tokens").select("id").execute()).toEqual([]);
  });

  test("an account that is switched off, or whose password must change, gets nothing more", async () => {
    await using at = await running();
    const id = await at.createUser("ann", "pw");
    const admin = await at.adminToken();
    const one = (await at.login("ann", "pw")).json;
    await at.json("PATCH", `/Users/${id}`, admin, { active: false }, { "If-Match": "*" });
    expect((await refresh(at, one.refresh_token as string)).json.error).toBe("invalid_token");
    expect((await at.json("GET", `/Users/${id}`, one.access_token as string)).json.error).toBe("invalid_token");
    expect((await at.login("ann", "pw")).json.error_description).toBe("Bad credentials");
    await at.json("PATCH", `/Users/${id}`, admin, { active: true }, { "If-Match": "*" });
    const two = (await at.login("ann", "pw")).json;
    expect((await at.json("PATCH", `/Users/${id}/status`, admin, { passwordChangeRequired: true })).status).toBe(200);
    expect((await refresh(at, two.refresh_token as string)).json.error).toBe("invalid_token");
    expect((await at.login("ann", "pw")).json.error_description).toBe("User password needs to be changed");
  });
});

describe("lockout", () => {
  test("after five wrong passwords, with the text that the command line knows; a burst gets no more", async () => {
    await using at = await running();
    const id = await at.createUser("ann", "right");
    const burst = await Promise.all(Array.from({ length: 40 }, (_, i) => at.login("ann", `wrong ${i}`)));
    const tried = burst.filter(({ json }) => json.error_description === "Bad credentials").length;
    expect(tried).toBe(5);
    expect(burst.filter(({ json }) => json.error_description === locked).length).toBe(40 - tried);
    const right = await at.login("ann", "right");
    expect([right.status, right.json]).toEqual([401, { error: "unauthorized", error_description: locked }]);
    expect((await at.login("ANN", "right")).json.error_description).toBe(locked);

    // Names that nobody has behave alike.
    for (let i = 0; i < 5; i += 1) expect((await at.login("ghost", "x")).json.error_description).toBe("Bad credentials");
    expect((await at.login("ghost", "x")).json.error_description).toBe(locked);
    // Others are not concerned.
    expect((await at.login("admin", "admin password")).status).toBe(200);

    expect((await at.json("PATCH", `/Users/${id}/status`, await at.adminToken(), { locked: false })).status).toBe(200);
    expect((await at.login("ann", "right")).status).toBe(200);
    for (let i = 0; i < 5; i += 1) await at.login("ann", "wrong");
    expect((await at.login("ann", "right")).json.error_description).toBe(locked);
    at.pass(300_001);
    expect((await at.login("ann", "right")).status).toBe(200);
    // A success forgets failures; an old failure is forgotten too.
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 4; i += 1) await at.login("ann", "wrong");
      if (round === 1) at.pass(1_200_001);
      else expect((await at.login("ann", "right")).status).toBe(200);
    }
    for (let i = 0; i < 4; i += 1) await at.json("PUT", `/Users/${id}/password`, (await at.login("ann", "right")).json.access_token as string, { oldPassword: "guess", password: "x" });
    expect((await at.login("ann", "right")).status).toBe(200);
  });

  test("a stranger locks out strangers, not the owner; forging the address does not help", async () => {
    await using at = await running({ lockout: { failuresFromStrangers: 12 } });
    await at.createUser("ann", "right");
    expect((await from(at, "192.0.2.1", "right")).status).toBe(200);
    // Only the last address was written by our router.
    for (let i = 0; i < 5; i += 1) await from(at, `198.51.100.${i}, 203.0.113.9`, "wrong");
    expect((await from(at, "10.9.9.9, 203.0.113.9", "right")).json.error_description).toBe(locked);
    for (let i = 0; i < 10; i += 1) await from(at, `203.0.113.${100 + i}`, "wrong");
    expect((await from(at, "203.0.113.77", "right")).json.error_description).toBe(locked);
    expect((await from(at, "192.0.2.1", "right")).status).toBe(200);
  });
});

describe("restart and change", () => {
  test("tokens, keys, users and refresh tokens survive; the administrator's own password too", async () => {
    await using first = await running();
    const login = (await first.login("admin", "admin password")).json;
    const keys = (await first.call("GET", "/token_keys")).text;
    const id = decode(login.access_token as string)["user_id"] as string;
    await using second = await first.restart();
    expect((await second.call("GET", "/token_keys")).text).toBe(keys);
    expect((await second.json("GET", "/Users", login.access_token as string)).status).toBe(200);
    expect((await refresh(second, login.refresh_token as string)).status).toBe(200);
    await second.json("PUT", `/Users/${id}/password`, login.access_token as string, { oldPassword: "admin password", password: "my own" });
    await using third = await second.restart();
    expect((await third.login("admin", "my own")).status).toBe(200);
    expect((await third.login("admin", "admin password")).status).toBe(401);
    // The configuration says something new: that counts.
    await using fourth = await third.restart({ admin: { username: "admin", password: "configured anew" } });
    expect((await fourth.login("admin", "configured anew")).status).toBe(200);
    expect((await fourth.login("admin", "my own")).status).toBe(401);
  });

  test("rotating the key: published first, signing later, the old one kept while its tokens live", async () => {
    await using at = await running();
    const kid = async () => JSON.parse(Buffer.from((await at.adminToken()).split(".")[0] ?? "", "base64url").toString()).kid as string;
    const published = async () => ((await at.call("GET", "/token_keys")).json.keys as { kid: string }[]).map((key) => key.kid);
    const old = await kid();
    const token = await at.adminToken();
    const fresh = await at.uaa.keyring.rotate({ leadMs: 60_000, longestTokenMs: 600_000 });
    expect(await published()).toEqual([old, fresh]);
    expect(await kid()).toBe(old);
    at.pass(61_000);
    expect(await kid()).toBe(fresh);
    expect((await at.json("GET", "/Users", token)).status).toBe(200);
    at.pass(600_000);
    expect(await published()).toEqual([fresh]);
    expect(await kid()).toBe(fresh);
  });

  test("two servers on one database that start at once agree on one key and one administrator", async () => {
    await using at = await running();
    const { startUaa, platformClients } = await import("../../uaa/index.ts");
    await at.db.deleteFrom("uaa_keys").execute();
    await at.db.deleteFrom("uaa_users").execute();
    const options = { db: at.db, issuer, passwordCost: { N: 1024, r: 8, p: 1 }, admin: { username: "root", password: "root" }, clients: platformClients({ controllerSecret }) };
    const [a, b] = await Promise.all([startUaa(options), startUaa(options)]);
    await Promise.all([a.ready, b.ready]);
    expect((await at.db.selectFrom("uaa_keys").select("kid").execute()).length).toBe(1);
    expect((await at.db.selectFrom("uaa_users").select("id").where("user_name", "=", "root").execute()).length).toBe(1);
    const token = (await (await fetch(`${a.url}/oauth/token`, { method: "POST", headers: { authorization: "Basic Y2Y6" }, body: new URLSearchParams({ grant_type: "password", username: "root", password: "root" }) })).json()) as { access_token: string };
    expect((await fetch(`${b.url}/Users`, { headers: { authorization: `bearer ${token.access_token}` } })).status).toBe(200);
    await a[Symbol.asyncDispose]();
    await b[Symbol.asyncDispose]();
  });

  test("a second secret beside the first ends no token; a new one in its place does", async () => {
    await using at = await running();
    const admin = await at.clientToken();
    await at.json("POST", "/oauth/clients", admin, { client_id: "rolling", client_secret: "one", authorized_grant_types: ["password", "refresh_token"], scope: ["openid", "uaa.user"] });
    const login = (secret: string) => at.token({ grant_type: "password", username: "admin", password: "admin password" }, basic("rolling", secret));
    const before = (await login("one")).json;
    await at.json("PUT", "/oauth/clients/rolling/secret", admin, { secret: "two", changeMode: "ADD" });
    for (const secret of ["one", "two", "one"]) expect((await login(secret)).status).toBe(200);
    expect((await login("three")).status).toBe(401);
    expect((await at.call("GET", "/userinfo", { Authorization: `bearer ${String(before.access_token)}` })).status).toBe(200);
    await at.json("PUT", "/oauth/clients/rolling/secret", admin, { secret: "three" });
    expect((await login("one")).status).toBe(401);
    expect((await login("three")).status).toBe(200);
    expect((await at.call("GET", "/userinfo", { Authorization: `bearer ${String(before.access_token)}` })).status).toBe(401);
  });
});

describe("for other parts", () => {
  test("our own validator takes the tokens, in the form of the discovery", async () => {
    const at = await running();
    const door = createServer((request, response) => {
      void wire(at.uaa.url, request.method ?? "GET", request.url ?? "/").then(({ status, text }) => response.writeHead(status, { "content-type": "application/json" }).end(text));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => door.once("listening", resolve));
    const base = `http://127.0.0.1:${(door.address() as { port: number }).port}`;
    await using own = await at.restart({ issuer: base });
    door.removeAllListeners("request").on("request", (request, response) => {
      void wire(own.uaa.url, request.method ?? "GET", request.url ?? "/").then(({ status, text }) => response.writeHead(status, { "content-type": "application/json" }).end(text));
    });
    const validator = createValidator({ issuer: `${base}/oauth/token`, audience: "cloud_controller" });
    const principal = await validator.validate(await own.adminToken());
    expect(principal).toMatchObject({ userName: "admin" });
    await expect(validator.validate((await own.login("admin", "admin password")).json.refresh_token as string)).rejects.toMatchObject({ name: "UaaError" });
    door.close();
    await at[Symbol.asyncDispose]();
  });

  test("introspection and check_token tell the truth, also after a revocation", async () => {
    await using at = await running();
    const ask = (path: string, fields: Record<string, string>) =>
      at.call("POST", path, { Authorization: basic("cloud_controller", controllerSecret), "Content-Type": "application/x-www-form-urlencoded" }, form(fields));
    const { access_token: token, jti } = (await at.login("admin", "admin password")).json as { access_token: string; jti: string };
    expect((await ask("/introspect", { token })).json).toMatchObject({ active: true, jti, user_name: "admin" });
    expect((await ask("/check_token", { token, scopes: "cloud_controller.read,openid" })).json).toMatchObject({ jti });
    const missing = await ask("/check_token", { token, scopes: "uaa.god" });
    expect([missing.status, missing.json.error]).toEqual([400, "invalid_scope"]);
    await at.json("DELETE", `/oauth/token/revoke/${jti}`, token);
    expect((await ask("/introspect", { token })).json).toEqual({ active: false });
    expect((await ask("/introspect", { token: "noise" })).json).toEqual({ active: false });
    const gone = await ask("/check_token", { token });
    expect([gone.status, gone.json.error]).toEqual([400, "invalid_token"]);
    expect((await ask("/introspect", {})).json.error).toBe("invalid_request");
  });

  test("identities: names for ids and back, in batches, remembered for a moment", async () => {
    await using at = await running();
    const admin = await at.adminToken();
    const ids: string[] = [];
    for (let i = 0; i < 130; i += 1) {
      const made = await at.json("POST", "/Users", admin, { userName: `User"${i}`, password: "pw", emails: [{ value: "x" }] });
      ids.push(made.json.id as string);
    }
    await at.json("POST", "/Users", admin, { userName: 'user"7', origin: "ldap", emails: [{ value: "x" }] });
    let requests = 0;
    let nowMs = Date.now();
    const identities = createIdentities({
      baseUrl: () => Promise.resolve(at.uaa.url), clientId: "cloud_controller", clientSecret: controllerSecret, clock: { now: () => nowMs },
      fetch: (url, init) => ((requests += 1), fetch(url, init)),
    });
    const found = await identities.findByIds([...ids, ...ids, "unknown", ""]);
    expect(found.map(({ id }) => id)).toEqual(ids);
    expect(found[5]).toEqual({ id: ids[5], username: 'User"5', origin: "uaa" });
    expect(requests).toBe(3);
    await identities.findByIds(ids.slice(0, 50));
    expect(requests).toBe(3);
    expect((await identities.findByNames(['USER"7', "nobody"])).map(({ origin }) => origin).sort()).toEqual(["ldap", "uaa"]);
    expect((await identities.findByNames(['user"7'], ["ldap"])).map(({ origin }) => origin)).toEqual(["ldap"]);
    expect(await identities.findByNames(["x\0y", 'q" or id pr or userName eq "', "\\"])).toEqual([]);
    // A token that was revoked is replaced without anybody noticing.
    await at.json("GET", "/oauth/token/revoke/client/cloud_controller", await at.clientToken("admin", adminSecret));
    nowMs += 6_000;
    expect((await identities.findByIds([ids[0] as string])).length).toBe(1);
    await at[Symbol.asyncDispose]();
    nowMs += 6_000;
    await expect(identities.findByIds([ids[0] as string])).rejects.toMatchObject({ code: "IDENTITIES_UNAVAILABLE", retryable: true });
  });

  test("search pages in the database", async () => {
    await using at = await running();
    const admin = await at.adminToken();
    for (let i = 0; i < 7; i += 1) await at.json("POST", "/Users", admin, { userName: `u${i}`, password: "pw", emails: [{ value: `u${i}@example.org` }], name: { familyName: i % 2 ? "Odd" : "Even" } });
    const names = async (query: string) => {
      const answer = await at.json("GET", `/Users?${query}`, admin);
      return [answer.status, answer.json.totalResults, (answer.json.resources as { userName: string }[] | undefined)?.map(({ userName }) => userName)];
    };
    const q = (filter: string) => `filter=${encodeURIComponent(filter)}`;
    expect(await names(`${q('userName sw "U"')}&sortBy=userName&sortOrder=descending&startIndex=2&count=3`)).toEqual([200, 7, ["u5", "u4", "u3"]]);
    expect(await names(q('familyName eq "odd" and userName ne "u1"'))).toEqual([400, undefined, undefined]);
    expect(await names(`${q('familyName eq "odd" and (userName eq "u1" or userName eq "u2")')}&sortBy=userName`)).toEqual([200, 1, ["u1"]]);
    expect(await names(`${q('email co "3@EXAMPLE"')}`)).toEqual([200, 1, ["u3"]]);
    expect(await names(`${q('userName co "%"')}`)).toEqual([200, 0, []]);
    expect(await names(`${q('meta.created gt "2020-01-31T10:00:00.000Z" and active eq true')}&count=0`)).toEqual([200, 8, []]);
    expect((await names("count=100000")).at(0)).toBe(200);
    for (const bad of [q('password eq "x"'), q('constructor eq "x"'), q("active eq 1"), q('meta.created eq "x"'), "sortBy=password_hash", "count=x", "startIndex=1e3"]) expect([bad, (await names(bad))[0]]).toEqual([bad, 400]);
    const lean = await at.json("GET", `/Users?attributes=id,userName&${q('userName eq "u1"')}`, admin);
    expect(Object.keys(lean.json.resources[0] as object).sort()).toEqual(["id", "userName"]);
    const stale = await at.json("PUT", `/Users/${String(lean.json.resources[0].id)}`, admin, { userName: "renamed", emails: [{ value: "x" }] }, { "If-Match": "7" });
    expect([stale.status, stale.json.error]).toEqual([409, "scim_resource_conflict"]);
    const renamed = await at.json("PUT", `/Users/${String(lean.json.resources[0].id)}`, admin, { userName: "u2", emails: [{ value: "x" }] }, { "If-Match": '"0"' });
    expect([renamed.status, renamed.json.error]).toEqual([409, "scim_resource_already_exists"]);
    for (const path of ["/ids/Users", `/ids/Users?${q("id pr")}`, `/ids/Users?${q('userName co "a"')}`, `/ids/Users?${q('email eq "a"')}`]) expect([path, (await at.json("GET", path, admin)).status]).toEqual([path, 400]);
  });
});

describe("speed", () => {
  test("a login does not hold up the others, and a token costs little besides the password", async () => {
    await using at = await running({ passwordCost: { N: 2 ** 15, r: 8, p: 3 } });
    await at.login("admin", "admin password");
    let finished = false;
    const logins = Promise.all(Array.from({ length: 6 }, () => at.login("admin", "admin password"))).finally(() => (finished = true));
    let meanwhile = 0;
    while (!finished) {
      await at.call("GET", "/login");
      meanwhile += 1;
    }
    expect((await logins).every(({ status }) => status === 200)).toBe(true);
    // Each login computes for a fifth of a second; on the event loop only a few others would get in between.
    expect(meanwhile).toBeGreaterThan(30);
    await at.clientToken();
    const before = process.cpuUsage();
    for (let i = 0; i < 20; i += 1) await at.clientToken();
    const { user, system } = process.cpuUsage(before);
    // Time of the processor, with the database and the test itself in it: what others do on the machine does not count.
    expect((user + system) / 1_000 / 20).toBeLessThan(40);
  });
});
