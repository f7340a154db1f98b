import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codes, CfError, errorTable } from "../../controller/api/errors.ts";
import type { RouteModule } from "../../controller/api/context.ts";
import { Type, shape } from "../../controller/api/validate.ts";
import { coreModules } from "../../controller/modules.ts";
import { startTestController, type Client, type TestController } from "../support/controller.ts";

let platform: TestController;
let admin: Client;
const logged: string[] = [];
const write = (event: string, data?: object): void => void logged.push(`${event} ${JSON.stringify(data)}`);

const probes: RouteModule = (api) => {
  api.get("/v3/probe/boom", () => { throw new Error("the password is hunter2"); });
  api.get("/v3/probe/warn", (call) => {
    call.warn("careful, with commas & spaces");
    call.warn("second");
    return {};
  });
  api.post("/v3/probe/body", { body: shape({ name: Type.String({ minLength: 1, maxLength: 5 }), count: Type.Optional(Type.Integer({ minimum: 1 })), nested: Type.Optional(shape({ flag: Type.Boolean() })) }) }, ({ body }) => body);
  api.post("/v3/probe/large", { bodyLimitBytes: 10 }, () => ({}));
};

beforeAll(async () => {
  platform = await startTestController({ modules: [...coreModules, probes], log: { debug: write, info: write, warn: write, error: write } });
  admin = platform.admin;
});
afterAll(() => platform[Symbol.asyncDispose]());

describe("root documents", () => {
  test("links in the form in which they were asked for", async () => {
    const { anonymous } = platform;
    const named = await anonymous.send("GET", "/", undefined, { host: "api.cf.test:8080", "x-forwarded-proto": "https" });
    expect(named.body.links).toMatchObject({
      self: { href: "https://api.cf.test:8080" }, login: { href: "https://login.cf.test:8080" }, uaa: { href: "https://uaa.cf.test:8080" },
      log_cache: { href: "https://log-cache.cf.test:8080" }, cloud_controller_v3: { href: "https://api.cf.test:8080/v3", meta: { version: "3.211.0" } },
    });
    const bare = await anonymous.send("GET", "/", undefined, { host: "127.0.0.1:8080" });
    expect(bare.body.links).toMatchObject({ self: { href: "http://127.0.0.1:8080" }, uaa: { href: "http://127.0.0.1:8080/uaa" }, log_cache: { href: "http://127.0.0.1:8080/log-cache" } });
    for (const path of ["/v3", "/v3/info", "/v2/info", "/healthz"]) expect([path, (await anonymous.get(path)).status]).toEqual([path, 200]);
    expect((await admin.get("/v2/info")).body.user).toBe(admin.guid);
  });
});

describe("errors", () => {
  for (const [title, method, path, body, status, error] of [
    ["an unknown path", "GET", "/v3/nothing", undefined, 404, { code: 10000, title: "CF-NotFound", detail: "Unknown request" }],
    ["a wrong method", "PUT", "/v3/organizations", {}, 404, { code: 10000, title: "CF-NotFound", detail: "Unknown request" }],
    ["bad JSON", "POST", "/v3/organizations", "{\"secret\": hunter2", 400, { code: 1001, title: "CF-MessageParseError", detail: "Request invalid due to parse error: invalid request body" }],
    ["a body with a prototype", "POST", "/v3/organizations", "{\"__proto__\": {\"a\": 1}}", 400, { code: 1001, title: "CF-MessageParseError", detail: "Request invalid due to parse error: invalid request body" }],
    ["an unknown key", "POST", "/v3/organizations", { name: "x", colour: "red", more: 1 }, 422, { code: 10008, title: "CF-UnprocessableEntity", detail: "Unknown field(s): 'colour', 'more'" }],
    ["a missing key", "POST", "/v3/organizations", {}, 422, { code: 10008, title: "CF-UnprocessableEntity", detail: "Name can't be blank" }],
    ["an unknown query key", "GET", "/v3/organizations?colour=red", undefined, 400, {
      code: 10005, title: "CF-BadQueryParameter",
      detail: "The query parameter is invalid: Unknown query parameter(s): 'colour'. Valid parameters are: 'page', 'per_page', 'order_by', 'guids', 'created_ats', 'updated_ats', 'label_selector', 'names'",
    }],
    ["too many per page", "GET", "/v3/organizations?per_page=5001", undefined, 400, { code: 10005, title: "CF-BadQueryParameter", detail: "The query parameter is invalid: Per page must be between 1 and 5000" }],
    ["page 0", "GET", "/v3/organizations?page=0", undefined, 400, { code: 10005, title: "CF-BadQueryParameter", detail: "The query parameter is invalid: Page must be a positive integer" }],
    ["an odd order", "GET", "/v3/organizations?order_by=colour", undefined, 400, { code: 10005, title: "CF-BadQueryParameter", detail: "The query parameter is invalid: Order by can only be: 'created_at', 'updated_at', 'name'" }],
    ["an odd include", "GET", "/v3/spaces?include=moon", undefined, 400, { code: 10005, title: "CF-BadQueryParameter", detail: "The query parameter is invalid: Invalid included resource: 'moon'. Valid included resources are: 'organization'" }],
    ["a body that is too large", "POST", "/v3/probe/large", { text: "01234567890123456789" }, 413, { code: 1005, title: "CF-RequestTooLarge", detail: "The request body is too large" }],
    ["what other platforms have", "POST", "/v3/stacks", { name: "x" }, 422, { code: 10008, title: "CF-NotImplemented", detail: "Creating stacks: this platform does not have this feature." }],
  ] as const) test(title, async () => {
    const reply = await admin.send(method, path, body);
    expect([reply.status, reply.body]).toEqual([status, { errors: [error] }]);
  });

  test("validation says everything at once", async () => {
    const reply = await admin.post("/v3/probe/body", { name: "too long", count: 0, nested: { flag: "yes", x: 1 } });
    expect(reply.body.errors[0].detail).toBe("Nested Unknown field(s): 'x', Name is too long (maximum is 5 characters), Count must be greater than or equal to 1, Nested flag must be a boolean");
  });

  test("an accident tells nothing outside", async () => {
    const reply = await admin.get("/v3/probe/boom");
    expect([reply.status, reply.body]).toEqual([500, { errors: [{ code: 10001, title: "CF-UnknownError", detail: "An unknown error occurred." }] }]);
    expect(logged.some((line) => line.startsWith("request failed"))).toBe(true);
  });

  test("every code makes a body; a request's token is in no log line", () => {
    for (const code of codes) expect(new CfError(code).toBodies()).toMatchObject([{ code: errorTable[code][0], detail: errorTable[code][2] }]);
    expect(logged.join("\n")).not.toContain(admin.token.slice(-40));
  });
});

describe("requests", () => {
  test("who asks: no token, garbage, expired, too little scope, and UAA down", async () => {
    const { anonymous, signToken } = platform;
    const ask = async (authorization: string | undefined, method = "GET") => {
      const reply = await anonymous.send(method, "/v3/organizations", method === "GET" ? undefined : { name: "x" }, authorization === undefined ? {} : { authorization });
      return [reply.status, reply.body.errors?.[0]?.code, reply.body.errors?.[0]?.title];
    };
    const claims = { user_id: "u", user_name: "u", sub: "u", origin: "uaa" };
    expect(await ask(undefined)).toEqual([401, 10002, "CF-NotAuthenticated"]);
    expect(await ask("basic abc")).toEqual([401, 10002, "CF-NotAuthenticated"]);
    expect(await ask("bearer abc")).toEqual([401, 1000, "CF-InvalidAuthToken"]);
    expect(await ask(`bearer ${await signToken({ ...claims, scope: ["cloud_controller.read"] }, -5)}`)).toEqual([401, 1000, "CF-InvalidAuthToken"]);
    expect(await ask(`bearer ${await signToken({ ...claims, scope: ["openid"] })}`)).toEqual([403, 10003, "CF-NotAuthorized"]);
    expect(await ask(`Bearer ${await signToken({ ...claims, scope: ["cloud_controller.read"] })}`)).toEqual([200, undefined, undefined]);
    expect(await ask(`bearer ${await signToken({ ...claims, scope: ["cloud_controller.read"] })}`, "POST")).toEqual([403, 10003, "CF-NotAuthorized"]);
    expect(await ask(`bearer ${await signToken({ ...claims, scope: ["cloud_controller.global_auditor"] })}`)).toEqual([200, undefined, undefined]);
  });

  test("request ids: the client's is kept in front, cleaned", async () => {
    const reply = await admin.send("GET", "/v3/organizations", undefined, { "x-vcap-request-id": "my-id <script>" });
    expect(reply.headers["x-vcap-request-id"]).toMatch(/^my-idscript::[0-9a-f-]{36}$/);
    expect((await admin.get("/v3")).headers["x-vcap-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("warnings survive commas", async () => {
    const header = (await admin.get("/v3/probe/warn")).headers["x-cf-warnings"] ?? "";
    expect(header.split(",").map(decodeURIComponent)).toEqual(["careful, with commas & spaces", "second"]);
  });

  test("an empty body under a JSON type, and a JSON body under another type", async () => {
    expect((await admin.send("DELETE", "/v3/organizations/none")).status).toBe(404);
    const reply = await admin.send("POST", "/v3/probe/body", "{\"name\":\"ab\"}", { "content-type": "application/x-www-form-urlencoded" });
    expect(reply.body).toEqual({ name: "ab" });
  });
});

describe("lists", () => {
  test("pages, with hrefs that repeat what was asked", async () => {
    const prefix = "paged";
    for (let index = 0; index < 7; index++) await admin.post("/v3/organizations", { name: `${prefix}-${index}`, metadata: { labels: { n: String(index), even: index % 2 === 0 ? "yes" : "no" } } });
    const names = Array.from({ length: 7 }, (_, index) => `${prefix}-${index}`).join(",");
    const seen: string[] = [];
    let next: string | undefined = `/v3/organizations?names=${names}&per_page=3&order_by=-name`;
    while (next) {
      const { body } = await admin.get(next) as { body: { pagination: { next: { href: string } | null; total_results: number; total_pages: number }; resources: { name: string }[] } };
      expect(body.pagination).toMatchObject({ total_results: 7, total_pages: 3 });
      seen.push(...body.resources.map(({ name }) => name));
      next = body.pagination.next?.href;
      if (next) expect(next).toMatch(/^http:\/\/api\.cf\.test\/v3\/organizations\?names=paged-0%2C.*order_by=-name&page=\d&per_page=3$/);
    }
    expect(seen).toEqual([6, 5, 4, 3, 2, 1, 0].map((index) => `${prefix}-${index}`));
    const beyond = await admin.get(`/v3/organizations?names=${names}&per_page=3&page=9`);
    expect(beyond.body).toMatchObject({ resources: [], pagination: { total_results: 7, next: null, previous: { href: expect.stringContaining("page=3") } } });
  });

  for (const [selector, found] of [
    ["even=yes", [0, 2, 4, 6]], ["even!=yes", [1, 3, 5]], ["even==no,n in (1,5)", [1, 5]], ["n notin (1,2,3,4,5)", [0, 6]], ["n,!even", []], ["even,n=3", [3]],
  ] as const) test(`label_selector ${selector}`, async () => {
    const { body } = await admin.get(`/v3/organizations?names=${Array.from({ length: 7 }, (_, index) => `paged-${index}`).join(",")}&label_selector=${encodeURIComponent(selector)}`);
    expect(body.resources.map(({ name }: { name: string }) => Number(name.slice(6)))).toEqual(found);
  });

  test("a comma inside a value is sent twice encoded; other odd letters do no harm", async () => {
    await admin.post("/v3/organizations", { name: "a,b+c d%" });
    const sent = encodeURIComponent("a,b+c d%".replace("%", "%25").replace(",", "%2C"));
    expect((await admin.get(`/v3/organizations?names=${sent}`)).body.resources).toHaveLength(1);
    expect((await admin.get("/v3/organizations?names=%25zz'%22;--")).body.resources).toEqual([]);
  });

  test("times: equal, between, before, and nonsense", async () => {
    const [row] = (await admin.get("/v3/organizations?names=paged-0")).body.resources;
    const at = row.created_at as string;
    const count = async (query: string): Promise<number> => (await admin.get(`/v3/organizations?guids=${row.guid}&${query}`)).body.resources?.length;
    expect(await count(`created_ats=${at}`)).toBe(1);
    expect(await count(`created_ats=2001-01-01T00:00:00Z,2999-01-01T00:00:00Z`)).toBe(1);
    expect(await count(`created_ats[lt]=${at}`)).toBe(0);
    expect(await count(`created_ats[lte]=${at}`)).toBe(1);
    expect(await count(`created_ats[gt]=2001-01-01T00:00:00Z`)).toBe(1);
    expect((await admin.get("/v3/organizations?created_ats=yesterday")).status).toBe(400);
  });

  test("metadata rules", async () => {
    const patch = (metadata: object) => admin.post("/v3/organizations", { name: `m-${Math.random()}`, metadata });
    for (const metadata of [{ labels: { "cloudfoundry.org/x": "1" } }, { labels: { "-x": "1" } }, { labels: { x: "a".repeat(64) } }, { annotations: { x: "a".repeat(5_001) } }, { labels: { "a/b/c": "1" } }])
      expect([JSON.stringify(metadata).slice(0, 40), (await patch(metadata)).status]).toEqual([JSON.stringify(metadata).slice(0, 40), 422]);
    expect((await patch({ labels: { "example.com/x_y.z": "" }, annotations: { note: "any text, é" } })).status).toBe(201);
  });
});
