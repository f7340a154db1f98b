import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bareDoor, publicUrls } from "../doors.ts";

const domain = "cf.localhost";

describe("links answer in the form in which they were asked for", () => {
  test.each([
    [{ host: "127.0.0.1:8080" }, "bare", "http://127.0.0.1:8080", "http://127.0.0.1:8080/uaa", "http://127.0.0.1:8080/log-cache"],
    [{ host: "localhost:8080" }, "bare", "http://localhost:8080", "http://localhost:8080/uaa", "http://localhost:8080/log-cache"],
    [{ host: "[::1]:80" }, "bare", "http://[::1]:80", "http://[::1]:80/uaa", "http://[::1]:80/log-cache"],
    [{ host: "api.cf.localhost:8080" }, "named", "http://api.cf.localhost:8080", "http://uaa.cf.localhost:8080", "http://log-cache.cf.localhost:8080"],
    [{ host: "api.cf.localhost", "x-forwarded-proto": "https" }, "named", "https://api.cf.localhost", "https://uaa.cf.localhost", "https://log-cache.cf.localhost"],
    [{ host: "api.other.example", "x-forwarded-proto": "https, http" }, "named", "https://api.cf.localhost", "https://uaa.cf.localhost", "https://log-cache.cf.localhost"],
  ])("%j", (headers, form, api, uaa, logCache) => expect(publicUrls(headers, domain)).toMatchObject({ form, api, uaa, logCache }));

  test("an app's route", () => {
    const bare = publicUrls({ host: "127.0.0.1:80" }, domain);
    expect([bare.route("hello.cf.localhost"), bare.route("a.b.cf.localhost/x"), bare.route("shop.example.com")]).toEqual(
      ["http://127.0.0.1:80/~hello/", "http://127.0.0.1:80/~a.b.cf.localhost/x", "http://127.0.0.1:80/~shop.example.com/"]);
    expect(publicUrls({ host: "api.cf.localhost:81" }, domain).route("hello.cf.localhost/x")).toBe("http://hello.cf.localhost:81/x");
  });
});

describe("the bare door", () => {
  test.each([
    ["127.0.0.1:8080", "/v3/apps?a=b", "api.cf.localhost", "/v3/apps?a=b"],
    ["127.0.0.1:8080", "/", "api.cf.localhost", "/"],
    ["127.0.0.1:8080", "/uaa", "uaa.cf.localhost", "/"],
    ["127.0.0.1:8080", "/uaa/oauth/token?x=1", "uaa.cf.localhost", "/oauth/token?x=1"],
    ["127.0.0.1:8080", "/uaa?x=1", "uaa.cf.localhost", "/?x=1"],
    ["localhost", "/log-cache/api/v1/info", "log-cache.cf.localhost", "/api/v1/info"],
    ["localhost", "/api/v1/read/x?limit=1", "log-cache.cf.localhost", "/api/v1/read/x?limit=1"],
    ["localhost", "/api/v10", "api.cf.localhost", "/api/v10"],
    ["localhost", "/~hello/a/b", "hello.cf.localhost", "/a/b"],
    ["localhost", "/~shop.example.com", "shop.example.com", "/"],
    ["localhost", "/~", "api.cf.localhost", "/~"],
    ["localhost", "/~%zz/", "%zz.cf.localhost", "/"],
  ])("%s %s", (host, target, to, rest) => expect(bareDoor(host, target, domain)).toEqual({ host: to, target: rest }));
  test.each(["hello.cf.localhost", "cf.localhost", "shop.example.com:8080"])("%s is a name and stays", (host) => expect(bareDoor(host, "/", domain)).toBeUndefined());
  test("what a link says, the door understands", () =>
    fc.assert(fc.property(fc.domain(), fc.webPath(), (host, path) => {
      const url = publicUrls({ host: "127.0.0.1:8080" }, domain).route(host + path);
      const target = url.slice("http://127.0.0.1:8080".length);
      expect(bareDoor("127.0.0.1:8080", target, domain)).toEqual({ host, target: path || "/" });
    })));
});
