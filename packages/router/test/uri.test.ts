import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hostOf, isHost, nextWildcard, parseRouteUri, pathOf, routeKey } from "../src/uri.ts";

describe("route keys", () => {
  for (const [given, key] of [
    ["Shop.Example.COM/", "shop.example.com"],
    ["a.b/x?y=1", "a.b/x"],
    ["a.b/x#top", "a.b/x"],
    ["a.b?x=/y", "a.b"],
    ["*.B", "*.b"],
    ["a.b/Path/Of/Case/", "a.b/Path/Of/Case"],
    ["a.b//x", "a.b//x"],
    ["a.b:8080/x", "a.b/x"],
    ["a.b.", "a.b"],
    ["[::1]:80/x", "[::1]/x"],
    ["my_app.example.com", "my_app.example.com"],
    ["a.b/my%20path", "a.b/my%20path"],
  ] as const) test(given, () => expect(routeKey(given)).toBe(key));

  for (const given of ["", "/x", "http://a.b/x", "a b.c", "<script>.b", "?x", "a\u0000b.c"]) {
    test(`${JSON.stringify(given)} is refused`, () => expect(() => parseRouteUri(given)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_URI" })));
  }

  test("the scheme is named as what is wrong", () => expect(() => routeKey("https://a.b/x")).toThrow(/without the scheme/));

  const host = fc.stringMatching(/^(\*\.)?[A-Za-z0-9-]{1,8}(\.[A-Za-z0-9-]{1,8}){0,3}$/);
  const path = fc.stringMatching(/^(\/[A-Za-z0-9%._~-]{0,6}){0,4}$/);
  test("a route key is its own route key", () => fc.assert(fc.property(host, path, (h, p) => {
    fc.pre(!p.endsWith("//"));
    const key = routeKey(h + p);
    expect(routeKey(key)).toBe(key);
  })));
  test("the case of the host never matters, that of the path always does", () => fc.assert(fc.property(host, path, (h, p) => {
    expect(routeKey(h.toUpperCase() + p)).toBe(routeKey(h.toLowerCase() + p));
    expect(parseRouteUri(h + p).path).toBe(p.replace(/\/$/, ""));
  })));
});

describe("hosts", () => {
  for (const [given, host] of [
    ["Example.com:8080", "example.com"], ["example.com.", "example.com"], ["example.com.:80", "example.com"], ["[::1]:80", "[::1]"], ["[::1]", "[::1]"], ["", ""], [":80", ""],
  ] as const) test(`Host ${JSON.stringify(given)}`, () => expect(hostOf(given)).toBe(host));

  for (const [host, valid] of [["a.b", true], ["[::1]", true], ["a_b", true], ["<script>", false], ["a b", false], ["a/b", false], ["a\"b", false], ["", false]] as const) {
    test(`${JSON.stringify(host)} ${valid ? "may" : "may not"} be a host`, () => expect(isHost(host)).toBe(valid));
  }
});

describe("wildcards", () => {
  test("widen label by label and never to everything", () => {
    const steps: string[] = [];
    for (let name = nextWildcard("a.b.c.d"); name !== undefined; name = nextWildcard(name)) steps.push(name);
    expect(steps).toEqual(["*.b.c.d", "*.c.d", "*.d"]);
  });
  test("always end", () => fc.assert(fc.property(fc.stringMatching(/^[a-z.*-]{0,20}$/), (host) => {
    let count = 0;
    for (let name = nextWildcard(host); name !== undefined; name = nextWildcard(name)) expect(++count).toBeLessThan(30);
  })));
});

test("the path ends where query or fragment begin", () => {
  expect(pathOf("/a/b?c#d")).toBe("/a/b");
  expect(pathOf("/a#b?c")).toBe("/a");
  expect(pathOf("/a%3Fb")).toBe("/a%3Fb");
});
