import { describe, expect, test } from "vitest";
import { httpBackend, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const affinity = (answer: { headers: { "set-cookie"?: string[] } }): string | undefined => answer.headers["set-cookie"]?.find((cookie) => cookie.startsWith("__VCAP_ID__="));
const authorization = "Negotiate dG9rZW4=";

/** Two instances that challenge, begin a session at `/session`, and tell their names. */
async function two(r: Rig) {
  const apps = await Promise.all(["one", "two"].map((name) => httpBackend((request, response) => {
    if (request.url !== "/quiet") response.setHeader("WWW-Authenticate", "Negotiate");
    if (request.url === "/session") response.setHeader("Set-Cookie", "JSESSIONID=1; Secure");
    response.end(name);
  })));
  r.serve(apps.map(({ host, port }, index) => ({ host, port, instanceId: `i-${["one", "two"][index]}` })));
  return { async [Symbol.asyncDispose]() { for (const app of apps) await app[Symbol.asyncDispose](); } };
}

describe("instances that negotiate", () => {
  for (const on of [true, false]) {
    test(`13.42 ${on ? "on" : "off"}: who is challenged is tied for a minute, or not at all; a session counts more`, async () => {
      await using r = await rig({ stickyForNegotiate: on });
      await using _apps = await two(r);
      const challenged = await ask(r.port);
      expect(affinity(challenged)).toBe(on ? `__VCAP_ID__=i-${challenged.body}; Path=/; HttpOnly; Max-Age=60; SameSite=Strict` : undefined);
      const session = await ask(r.port, { path: "/session" });
      expect(affinity(session)).toBe(`__VCAP_ID__=i-${session.body}; Path=/; HttpOnly; Secure`);
      expect(affinity(await ask(r.port, { path: "/quiet" }))).toBeUndefined();
    });

    for (const session of [true, false]) {
      test(`13.42 ${on ? "on" : "off"}: a request that negotiates ${session ? "with" : "without"} a session ${on || session ? "goes back" : "goes anywhere"}`, async () => {
        await using r = await rig({ stickyForNegotiate: on });
        await using _apps = await two(r);
        const headers = { authorization, cookie: `${session ? "JSESSIONID=1; " : ""}__VCAP_ID__=i-two` };
        const bodies = new Set<string>();
        for (let n = 0; n < 6; n += 1) bodies.add((await ask(r.port, { path: "/quiet", headers })).body);
        expect(bodies).toEqual(new Set(on || session ? ["two"] : ["one", "two"]));
      });
    }

    test(`13.37, 13.42 ${on ? "on" : "off"}: an instance that is gone`, async () => {
      await using r = await rig({ stickyForNegotiate: on });
      await using _apps = await two(r);
      const answer = await ask(r.port, { headers: { authorization, cookie: "JSESSIONID=1; __VCAP_ID__=i-gone" } });
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual(on ? [502, "endpoint_failure (no endpoints available)"] : [200, undefined]);
      for (const { backend } of r.router.table.lookup("app.example.com", "/")?.endpoints ?? []) expect(backend.failures).toBe(0);
    });
  }

  test("13.37 an instance that is full", async () => {
    await using r = await rig({ stickyForNegotiate: true, maxConnectionsPerEndpoint: 1 });
    let release: (() => void) | undefined;
    await using busy = await httpBackend((_, response) => { release = () => response.end("busy"); });
    await using free = await httpBackend((_, response) => response.end("free"));
    r.serve([{ host: busy.host, port: busy.port, instanceId: "i-busy" }, { host: free.host, port: free.port, instanceId: "i-free" }]);
    const headers = { authorization, cookie: "__VCAP_ID__=i-busy" };
    const held = ask(r.port, { headers });
    await eventually(() => release !== undefined);
    expect(await ask(r.port, { headers })).toMatchObject({ status: 502, headers: { "x-cf-routererror": "endpoint_failure (no endpoints available)" } });
    expect(r.router.table.lookup("app.example.com", "/")?.endpoints.map(({ backend }) => backend.failures)).toEqual([0, 0]);
    release?.();
    expect((await held).body).toBe("busy");
  });

  test("attempts of a request that is tied hard all go to its instance", async () => {
    await using other = await httpBackend((_, response) => response.end("other"));
    let connections = 0;
    await using mine = await rawBackend((socket) => socket.once("data", () => {
      connections += 1;
      if (connections < 3) socket.end();
      else socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine");
    }));
    await using r = await rig({ stickyForNegotiate: true, maxAttempts: 3 });
    r.serve([{ host: mine.host, port: mine.port, instanceId: "i-mine" }, { host: other.host, port: other.port, instanceId: "i-other" }]);
    expect((await ask(r.port, { headers: { authorization, cookie: "__VCAP_ID__=i-mine" } })).body).toBe("mine");
    expect(other.requests.length).toBe(0);
  });

  test("one route may, another may not", async () => {
    await using r = await rig();
    await using app = await httpBackend((_, response) => { response.setHeader("WWW-Authenticate", "Negotiate"); response.end(); });
    r.router.table.register("yes.example.com", { host: app.host, port: app.port, instanceId: "i" }, { stickyForNegotiate: true });
    r.router.table.register("no.example.com", { host: app.host, port: app.port, instanceId: "i" });
    expect(affinity(await ask(r.port, { host: "yes.example.com" }))).toContain("__VCAP_ID__=i;");
    expect(affinity(await ask(r.port, { host: "no.example.com" }))).toBeUndefined();
  });
});
