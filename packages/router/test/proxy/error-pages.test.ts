import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultSteps, htmlErrorPage, htmlErrorPageFrom, type Step } from "../../src/index.ts";
import { parseConfig } from "../../src/config/config.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const template = "<h1>{{ .Status }} {{.StatusText}}</h1><p>{{- .Message -}}</p><i>{{ .Header.Get \"x-cf-routererror\" }}</i>{{ .Header.Get \"X-None\" }}\n";

describe("13.89 error pages", () => {
  test("are text unless told otherwise", async () => {
    await using r = await rig();
    expect(await ask(r.port, { host: "a.example.com" })).toMatchObject({
      status: 404, body: "404 Not Found: Requested route ('a.example.com') does not exist.\n", headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
    });
  });

  test("come from a template, which may read headers; what clients make up is escaped", async () => {
    await using r = await rig({ errorPage: htmlErrorPage(template) });
    expect(await ask(r.port, { host: "a'b&c.example.com" })).toMatchObject({
      status: 404, headers: { "content-type": "text/html; charset=utf-8", "x-cf-routererror": "unknown_route" },
      body: "<h1>404 Not Found</h1><p>Requested route (&#39;a&#39;b&amp;c.example.com&#39;) does not exist.</p><i>unknown_route</i>\n",
    });
  });

  test("a template that is missing, or that wants more than there is, is refused at the start", async () => {
    await using folder = { path: await mkdtemp(join(tmpdir(), "opencf-pages-")), async [Symbol.asyncDispose]() { await rm(this.path, { recursive: true, force: true }); } };
    expect(() => htmlErrorPageFrom(join(folder.path, "none.html"))).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION", message: expect.stringMatching(/none\.html: .*ENOENT/) }));
    const file = join(folder.path, "page.html");
    await writeFile(file, "{{ range .Cookies }}");
    expect(() => htmlErrorPageFrom(file)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION", message: expect.stringContaining("range .Cookies") }));
    await writeFile(file, template);
    const page = htmlErrorPageFrom(file);
    expect(page({ status: 503, code: "no_endpoints", message: "none" }).body).toBe("<h1>503 Service Unavailable</h1><p>none</p><i>no_endpoints</i>\n");
  });
});

describe("13.88 a step that fails", () => {
  const failing: Record<string, Step> = {
    "throws at once": (exchange, next) => { if (exchange.target === "/broken") throw new Error("mine"); return next(); },
    "rejects later": async (exchange, next) => { await next(); if (exchange.target === "/broken") throw new Error("mine"); },
    "throws what is no error": (exchange, next) => (exchange.target === "/broken" ? Promise.reject(undefined as never) : next()),
  };
  for (const [how, step] of Object.entries(failing)) {
    test(`and ${how}: the router goes on`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig({ steps: [step, ...defaultSteps] });
      r.serve([app]);
      const answer = await ask(r.port, { path: "/broken" });
      // After the answer there is nothing left to say.
      expect([200, 502]).toContain(answer.status);
      if (answer.status === 502) expect(answer.headers["x-cf-routererror"]).toBe("unknown_failure");
      expect((await ask(r.port)).status).toBe(200);
      await eventually(() => r.router.inFlight === 0 && r.records.length === 2);
      expect(r.router.state).toBe("healthy");
    });
  }

  test("a client that leaves is no failure of anybody", async () => {
    const errors: string[] = [];
    await using app = await httpBackend(() => undefined);
    await using r = await rig({ log: { info() {}, warn: (event) => void errors.push(event), error: (event) => void errors.push(event) } });
    r.serve([app]);
    const client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => app.requests.length === 1);
    client.socket.destroy();
    await eventually(() => r.records.length === 1);
    expect([r.records[0]?.status, errors]).toEqual([499, []]);
    expect(r.router.table.lookup("app.example.com", "/")?.endpoints.length).toBe(1);
  });
});

test("13.89 a gorouter's configuration names its template", async () => {
  await using folder = { path: await mkdtemp(join(tmpdir(), "opencf-pages-")), async [Symbol.asyncDispose]() { await rm(this.path, { recursive: true, force: true }); } };
  const file = join(folder.path, "page.html");
  await writeFile(file, template);
  const config = await parseConfig(`html_error_template_file: ${file}\nstatus: { port: 0, user: u, pass: p }\n`, "r.yml");
  expect(JSON.stringify(config, (key, value: unknown) => (typeof value === "function" ? `function ${key}` : value))).toContain("function errorPage");
  await expect(parseConfig("html_error_template_file: /nowhere/page.html\n", "r.yml")).rejects.toMatchObject({ code: "ROUTER_BAD_CONFIG", message: expect.stringMatching(/page\.html.*ENOENT/) as string });
});
