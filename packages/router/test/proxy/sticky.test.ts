import { describe, expect, test } from "vitest";
import { stickyInstanceOf } from "../../src/proxy/sticky.ts";
import { httpBackend, misbehaving } from "../fixtures/backend.ts";
import { ask } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const app = (name: string, cookies: (path: string) => string[]) => httpBackend((request, response) => {
  const set = cookies(request.url as string);
  if (set.length > 0) response.setHeader("Set-Cookie", set);
  response.end(name);
});
const affinity = (answer: { headers: { "set-cookie"?: string[] } }): string | undefined => answer.headers["set-cookie"]?.find((cookie) => cookie.startsWith("__VCAP_ID__="));
const session = "JSESSIONID=abc";

async function two(r: Rig, cookies: (path: string) => string[], uri = "app.example.com") {
  const [one, other] = [await app("one", cookies), await app("other", cookies)];
  r.serve([{ host: one.host, port: one.port, instanceId: "i-one" }, { host: other.host, port: other.port, instanceId: "i-other" }], uri);
  return { one, other, async [Symbol.asyncDispose]() { await one[Symbol.asyncDispose](); await other[Symbol.asyncDispose](); } };
}

describe("reading the cookie", () => {
  for (const [cookie, names, instance] of [
    [undefined, ["JSESSIONID"], ""], ["__VCAP_ID__=i", ["JSESSIONID"], ""], ["JSESSIONID=1", ["JSESSIONID"], ""], ["JSESSIONID=1; __VCAP_ID__=i", ["JSESSIONID"], "i"],
    ["__VCAP_ID__=i; JSESSIONID=", ["JSESSIONID"], "i"], ["sid=1;__VCAP_ID__=i", ["sid", "JSESSIONID"], "i"], ["NOTJSESSIONID=1; __VCAP_ID__=i", ["JSESSIONID"], ""],
    ["JSESSIONID=1; __VCAP_ID__=\"i\"", ["JSESSIONID"], "i"], ["JSESSIONID; __VCAP_ID__=i", ["JSESSIONID"], ""], ["X=__VCAP_ID__=i; JSESSIONID=1", ["JSESSIONID"], ""],
  ] as const) test(`${cookie ?? "none"} → ${instance || "nobody"}`, () => expect(stickyInstanceOf(cookie, names)).toBe(instance));
});

describe("affinity", () => {
  test("13.38 no session, no cookie", async () => {
    await using r = await rig();
    await using _apps = await two(r, () => ["theme=dark"]);
    expect(affinity(await ask(r.port))).toBeUndefined();
  });

  test("13.38 a session ties the client to the instance that began it", async () => {
    await using r = await rig();
    await using _apps = await two(r, (path) => (path === "/login" ? [`${session}; Path=/; HttpOnly`] : []));
    const login = await ask(r.port, { path: "/login" });
    const cookie = affinity(login);
    expect(cookie).toBe(`__VCAP_ID__=i-${login.body}; Path=/; HttpOnly`);
    for (let n = 0; n < 6; n += 1) {
      const answer = await ask(r.port, { headers: { cookie: `${session}; ${cookie?.split(";")[0]}` } });
      expect([answer.body, affinity(answer)]).toEqual([login.body, undefined]);
    }
  });

  for (const [given, expected] of [
    ["; Secure", "; Secure"], ["; SameSite=Strict; Secure", "; SameSite=Strict; Secure"], ["; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
    ["; Partitioned; Secure", "; Partitioned; Secure"], ["; Max-Age=3600", ""], ["; Max-Age=-1", "; Max-Age=-1"], ["; Max-Age=0", "; Max-Age=0"], ["; Domain=example.com; Path=/deep", ""],
  ] as const) {
    test(`13.39 attributes of the session cookie ${given}`, async () => {
      await using r = await rig();
      await using _apps = await two(r, () => [session + given]);
      const answer = await ask(r.port);
      expect(affinity(answer)).toBe(`__VCAP_ID__=i-${answer.body}; Path=/; HttpOnly${expected}`);
    });
  }

  test("13.39 secureCookies forces Secure", async () => {
    await using r = await rig({ secureCookies: true });
    await using _apps = await two(r, () => [session]);
    expect(affinity(await ask(r.port))).toMatch(/; HttpOnly; Secure$/);
  });

  test("13.40 an app that sets the cookie itself has its way", async () => {
    await using r = await rig();
    await using _apps = await two(r, () => [session, "__VCAP_ID__=mine"]);
    expect((await ask(r.port)).headers["set-cookie"]).toEqual([session, "__VCAP_ID__=mine"]);
  });

  test("13.41 other session cookies by name", async () => {
    await using r = await rig({ stickyCookieNames: ["sid"] });
    await using _apps = await two(r, (path) => [path === "/sid" ? "sid=1" : session]);
    expect(affinity(await ask(r.port, { path: "/sid" }))).toBeDefined();
    expect(affinity(await ask(r.port))).toBeUndefined();
  });

  test("13.41 each path has its own, in the path's spelling", async () => {
    await using r = await rig();
    await using _root = await two(r, () => [session]);
    await using _deep = await two(r, () => [session], "app.example.com/Deep/Path");
    expect(affinity(await ask(r.port, { path: "/Deep/Path/x" }))).toContain("; Path=/Deep/Path; ");
    expect(affinity(await ask(r.port, { path: "/x" }))).toContain("; Path=/; ");
  });

  test("13.36 a missing instance is replaced, and the client is told", async () => {
    await using r = await rig();
    await using _apps = await two(r, () => []);
    const answer = await ask(r.port, { headers: { cookie: `${session}; __VCAP_ID__=i-gone` } });
    expect([answer.status, affinity(answer)]).toEqual([200, `__VCAP_ID__=i-${answer.body}; Path=/; HttpOnly`]);
  });

  test("13.36 so is one that does not answer", async () => {
    await using r = await rig();
    await using dead = await misbehaving.refuses();
    await using live = await app("live", () => []);
    r.serve([{ host: dead.host, port: dead.port, instanceId: "i-dead" }, { host: live.host, port: live.port, instanceId: "i-live" }]);
    const answer = await ask(r.port, { headers: { cookie: `${session}; __VCAP_ID__=i-dead` } });
    expect([answer.body, affinity(answer)]).toEqual(["live", "__VCAP_ID__=i-live; Path=/; HttpOnly"]);
  });

  test("13.36 and one that is full", async () => {
    await using r = await rig({ maxConnectionsPerEndpoint: 1 });
    let release: (() => void) | undefined;
    await using busy = await httpBackend((_, response) => { release = () => response.end("busy"); });
    await using live = await app("live", () => []);
    r.serve([{ host: busy.host, port: busy.port, instanceId: "i-busy" }, { host: live.host, port: live.port, instanceId: "i-live" }]);
    const headers = { cookie: `${session}; __VCAP_ID__=i-busy` };
    const held = ask(r.port, { headers });
    while (release === undefined) await new Promise((resolve) => setTimeout(resolve, 2));
    expect((await ask(r.port, { headers })).body).toBe("live");
    release();
    expect((await held).body).toBe("busy");
  });

  test("instances without an id have no affinity", async () => {
    await using r = await rig();
    await using one = await app("one", () => [session]);
    r.serve([one]);
    expect(affinity(await ask(r.port))).toBeUndefined();
  });
});
