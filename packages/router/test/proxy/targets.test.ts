import { Agent } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { echo, httpBackend, type Echoed } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { askHttp2, http2Backend, session } from "../fixtures/http2.ts";
import { rig } from "../fixtures/rig.ts";

/** What the app sees of a request line that is sent as it stands, and the answer's status. */
async function seen(port: number, target: string, host = "app.example.com"): Promise<{ status: number; url: string | undefined; host: string | undefined }> {
  await using client = await wire(port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const heard = await client.end();
  const echoed = /\{.*\}/.exec(heard)?.[0];
  const { url, headers } = echoed === undefined ? { url: undefined, headers: {} } : JSON.parse(echoed) as Partial<Echoed> & Pick<Echoed, "headers">;
  return { status: Number(heard.slice(9, 12)), url, host: headers["host"] };
}

describe("13.59 what is reserved, escaped or strange in a target", () => {
  const unreserved = "-._~";
  const reserved = "!$&'()*+,;=:@";
  for (const [what, target] of [
    ["every reserved letter in the path", `/${reserved}${unreserved}/x`], ["every reserved letter in the query", `/?${reserved}${unreserved}/?`],
    ["every octet escaped, large", `/${Array.from({ length: 256 }, (_, at) => `%${at.toString(16).padStart(2, "0").toUpperCase()}`).join("")}`],
    ["every octet escaped, small, in the query", `/?q=${Array.from({ length: 256 }, (_, at) => `%${at.toString(16).padStart(2, "0")}`).join("")}`],
    ["an escaped slash, question mark and percent sign", "/a%2fb%2Fc%3Fd%25e"], ["dots that nobody takes out", "/a/./b/../%2e%2e/%2E/c"], ["a plus is no space", "/a+b?c+d"],
    ["no query at all", "/x"], ["an empty one", "/x?"], ["two question marks", "/x??y?"], ["a query without a path's end", "/x?/y"],
  ] as const) {
    test(`${what}: reaches the app byte by byte`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      expect(await seen(r.port, target)).toEqual({ status: 200, url: target, host: "app.example.com" });
      await eventually(() => r.records.length === 1);
      expect(r.records[0]?.target).toBe(target);
    });
  }

  test("any other that a client may send", async () => {
    await using app = await httpBackend((request, response) => response.end(request.url));
    await using r = await rig();
    r.serve([app]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const letter = fc.constantFrom(..."azAZ09-._~!$&'()*+,;=:@", "/", "//", "/./", "/../", "%20", "%2F", "%2f", "%00", "%C3%A9", "%ff");
    const text = fc.array(letter, { maxLength: 30 }).map((letters) => letters.join(""));
    const query = fc.option(fc.array(fc.oneof(letter, fc.constantFrom("?", "??", "/?")), { maxLength: 30 }).map((letters) => `?${letters.join("")}`), { nil: "" });
    try {
      await fc.assert(fc.asyncProperty(text, query, async (path, asked) => {
        const target = `/${path}${asked}`;
        const answer = await ask(r.port, { path: target, agent });
        expect([answer.status, answer.body]).toEqual([200, target]);
      }), { numRuns: 200 });
    } finally {
      agent.destroy();
    }
  }, 60_000);

  test("the same from a client of HTTP/2", async () => {
    await using app = await httpBackend((request, response) => response.end(request.url));
    await using r = await rig();
    r.serve([app]);
    await using over = await session(r.port);
    for (const target of ["/x", "/x?", "/%2f%2F?a=%20+", `/${reserved}?${reserved}`, "//a//b/", "/a/../b"]) {
      const { status, body } = await askHttp2(over, { ":path": target });
      expect([status, body]).toEqual([200, target]);
    }
  });

  test("the same for an app of HTTP/2", async () => {
    await using app = await http2Backend((stream, headers) => { stream.respond(); stream.end(JSON.stringify({ url: headers[":path"], headers: {} })); });
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, protocol: "http2" });
    for (const target of ["/x?", "/%2f%2F?a=%20+;", `/${reserved}`, "//a//b/"]) expect((await seen(r.port, target)).url).toBe(target);
  });

  test("a path is looked up escaped, as it is registered", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app], "app.example.com/my%20path");
    expect((await seen(r.port, "/my%20path/x")).status).toBe(200);
    for (const other of ["/my+path", "/my%2520path", "/my"]) expect((await seen(r.port, other)).status).toBe(404);
  });
});

describe("13.60 targets", () => {
  for (const [target, url] of [
    ["http://app.example.com/x?y", "/x"], ["http://app.example.com/x/", "/x"], ["HTTP://APP.example.com:8080/x", "/x"], ["https://app.example.com/x//y?z", "/x"], ["http://app.example.com/x?http://other.example.com/", "/x"],
  ] as const) {
    test(`${target} leads to its own host, whatever Host says, and reaches the app as it is`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app], `app.example.com${url}`);
      const authority = target.split("/")[2];
      expect(await seen(r.port, target, "other.example.com")).toEqual({ status: 200, url: target, host: authority });
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ route: `app.example.com${url}`, host: authority });
    });
  }

  for (const target of ["http://app.example.com", "http://app.example.com?y"]) {
    test(`${target}, without a path, is the route of the whole host`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      expect(await seen(r.port, target, "other.example.com")).toEqual({ status: 200, url: target, host: "app.example.com" });
    });
  }

  test("an app of HTTP/2 gets path and authority of an absolute target", async () => {
    const paths: unknown[] = [];
    await using app = await http2Backend((stream, headers) => { paths.push([headers[":authority"], headers[":path"]]); stream.respond(); stream.end(); });
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, protocol: "http2" });
    expect((await seen(r.port, "http://app.example.com/a?b", "other.example.com")).status).toBe(200);
    expect(paths).toEqual([["app.example.com", "/a?b"]]);
  });

  test("the asterisk of OPTIONS reaches the app", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "OPTIONS * HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.1 200 /);
    expect(heard).toContain("\"method\":\"OPTIONS\",\"url\":\"*\"");
  });

  for (const target of ["//", "//a", "///a//b///", "//app.example.com/x", "//user@other.example.com:80/x?y", "/a//", "/a//?//"]) {
    test(`${target}: every slash is kept, and nothing of it is taken for a host`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      expect(await seen(r.port, target)).toEqual({ status: 200, url: target, host: "app.example.com" });
    });
  }

  test("empty segments count in the look-up", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app], "app.example.com/a/b");
    r.serve([app], "app.example.com//c");
    for (const [target, status] of [["/a/b", 200], ["/a//b", 404], ["//a/b", 404], ["/a/b//", 200], ["//c", 200], ["//c/d", 200], ["/c", 404], ["///c", 404]] as const) {
      expect([target, (await seen(r.port, target)).status]).toEqual([target, status]);
    }
  });
});

describe("13.61 a slash at the end", () => {
  for (const route of ["app.example.com/x/y", "app.example.com/x/y/"]) {
    for (const [target, status] of [["/x/y", 200], ["/x/y/", 200], ["/x/y?", 200], ["/x/y/?q", 200], ["/x/y/z", 200], ["/x/yz", 404], ["/x/", 404]] as const) {
      test(`of the route ${route}, asked for ${target}: ${status}`, async () => {
        await using app = await httpBackend(echo);
        await using r = await rig();
        r.serve([app], route);
        expect(await seen(r.port, target)).toEqual(status === 200 ? { status, url: target, host: "app.example.com" } : { status, url: undefined, host: undefined });
      });
    }
  }

  test("a host with and one without is one route, and either spelling takes it away", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app], "app.example.com/");
    r.serve([app], "app.example.com");
    expect(r.router.table.routeCount).toBe(1);
    expect((await seen(r.port, "/")).status).toBe(200);
    r.router.table.unregister("app.example.com/", app);
    expect((await seen(r.port, "/")).status).toBe(404);
  });
});

describe("13.62 a redirect", () => {
  for (const status of [301, 302, 303, 307, 308]) {
    test(`${status} is the client's to follow, also where it leads back to an app of ours`, async () => {
      await using app = await httpBackend((request, response) => {
        if (request.url === "/there") return response.end("there");
        response.writeHead(status, { Location: request.url === "/near" ? "/there" : `http://app.example.com/there` });
        response.end("moved");
      });
      await using r = await rig();
      r.serve([app]);
      for (const [path, location] of [["/near", "/there"], ["/far", "http://app.example.com/there"]] as const) {
        for (const method of ["GET", "POST"]) {
          const answer = await ask(r.port, { path, method, ...(method === "POST" ? { body: "x" } : {}) });
          expect([answer.status, answer.headers.location, answer.body]).toEqual([status, location, "moved"]);
        }
      }
      expect(app.requests.map(({ url }) => url)).toEqual(["/near", "/near", "/far", "/far"]);
    });
  }
});
