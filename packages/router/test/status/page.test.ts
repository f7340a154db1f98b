import { Agent } from "node:http";
import { describe, expect, test } from "vitest";
import { chromium, openPage } from "../../../../test/support/browser.ts";
import { style } from "../../src/status/page-assets.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

if (chromium === undefined) process.stderr.write("status page: not tried in a real browser, there is no Chromium on PATH (apt-get install chromium)\n");

const basic = { authorization: `Basic ${Buffer.from("ops:pass:word").toString("base64")}` };
const status = { port: 0, user: "ops", password: "pass:word", refreshSeconds: 0.3 };
const evil = "</td><script>alert(1)</script><img src=x onerror=\"x\">'&\u202e";

describe("the page", () => {
  test("asks for the credentials, and holds nothing from elsewhere", async () => {
    await using r = await rig({ status });
    const port = r.router.statusAddress?.port ?? 0;
    expect(await ask(port, { path: "/" })).toMatchObject({ status: 401, headers: { "www-authenticate": "Basic realm=\"router\"" } });
    const page = await ask(port, { path: "/", headers: basic });
    expect(page).toMatchObject({ status: 200, headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", "content-security-policy": expect.stringMatching(/^default-src 'none'; style-src 'sha256-/) } });
    expect(page.body).toContain("No routes yet.");
    expect(page.body.match(/(src|href)="(?!data:|\/metrics|\/varz|\/routes)/)).toBeNull();
  });

  test("what somebody registers stays text", async () => {
    await using app = await httpBackend((_, response) => response.end());
    await using r = await rig({ status });
    r.router.table.register("app.example.com/%3Cb%3E", { host: app.host, port: app.port, app: evil });
    await ask(r.port, { path: "/%3Cb%3E" });
    const { body } = await ask(r.router.statusAddress?.port ?? 0, { path: `/?q=${encodeURIComponent("app")}`, headers: basic });
    expect(body.match(/<script/g)).toHaveLength(1);
    expect(body).not.toMatch(/<img|onerror="|\u202e/);
    expect((await ask(r.router.statusAddress?.port ?? 0, { path: `/?q=${encodeURIComponent(evil)}`, headers: basic })).body.match(/<script/g)).toHaveLength(1);
  });

  test("shows what contains a text, the busiest first, and not more than a page holds", async () => {
    await using app = await httpBackend((_, response) => response.end());
    await using r = await rig({ status });
    for (let at = 0; at < 600; at += 1) r.router.table.register(`r${at}.example.com`, { host: app.host, port: app.port });
    for (let at = 0; at < 3; at += 1) await ask(r.port, { host: "r77.example.com" });
    const show = async (query: string) => (await ask(r.router.statusAddress?.port ?? 0, { path: `/?q=${query}`, headers: basic })).body;
    await eventually(async () => /<tbody id="rows">\s*<tr><th scope="row">r77\./.test(await show("")));
    const all = await show("");
    expect(all.match(/<th scope="row">/g)).toHaveLength(500);
    expect(all).toContain("and 100 more");
    expect((await show("r12.")).match(/<th scope="row">/g)).toHaveLength(1);
    expect(await show("nothing-like-it")).toContain("No route contains this.");
  });

  test("every text has a contrast of at least 4.5 to 1, light and dark", () => {
    const schemes = [...style.matchAll(/:root\{([^}]*)\}/g)].map(([, rules = ""]) => Object.fromEntries([...rules.matchAll(/--([\w-]+):(#\w+)/g)].map(([, name, value]) => [name, value])));
    expect(schemes).toHaveLength(2);
    for (const colors of schemes) {
      for (const [ink, ground] of [["ink", "ground"], ["ink", "card"], ["soft", "ground"], ["soft", "card"], ["link", "ground"], ["bad", "ground"], ["good", "good-g"], ["warn", "warn-g"], ["bad", "bad-g"]] as const) {
        expect([ink, ground, contrast(colors[ink] ?? "", colors[ground] ?? "") >= 4.5]).toEqual([ink, ground, true]);
      }
    }
  });
});

function contrast(one: string, other: string): number {
  const luminance = (color: string): number => {
    const hex = color.length === 4 ? color.replace(/\w/g, "$&$&") : color;
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

describe.skipIf(chromium === undefined)("in a real browser (apt-get install chromium)", () => {
  test("routes, counts and latencies go on by themselves while the place is kept; it says when the router is gone", { timeout: 90_000 }, async () => {
    await using app = await httpBackend((request, response) => { response.statusCode = request.url === "/bad" ? 500 : 200; response.end("x".repeat(2_000)); });
    await using r = await rig({ status });
    r.serve([{ host: app.host, port: app.port, app: "guid-of-the-app" }]);
    for (let at = 0; at < 60; at += 1) r.router.table.register(`quiet${at}.example.com`, { host: app.host, port: app.port });
    const port = r.router.statusAddress?.port ?? 0;
    await using page = await openPage(`http://ops:${encodeURIComponent("pass:word")}@127.0.0.1:${port}/`, { width: 900, height: 500 });
    const first = (): Promise<string[]> => page.evaluate<string[]>("[...document.querySelectorAll('#rows tr:first-child > *')].map((cell) => cell.textContent)");
    expect(await page.evaluate("document.querySelectorAll('#rows tr').length")).toBe(61);
    await page.evaluate("window.mark = 1; document.querySelector('.scroll').scrollLeft = 60; window.scrollTo(0, 400); document.querySelector('input').value = 'half typed'");
    const agent = new Agent({ keepAlive: true });
    for (let at = 0; at < 40; at += 1) await ask(r.port, { agent, path: at % 10 === 9 ? "/bad" : "/" });
    agent.destroy();
    await expect.poll(async () => (await first())[8], { timeout: 20_000 }).toBe("40");
    const [route, endpoints, , , , p50, , p99, , failed] = await first();
    expect([route, endpoints, failed]).toEqual(["app.example.comguid-of-the-app", "1", "4 (10.0 %)"]);
    expect([p50, p99]).toEqual([expect.stringMatching(/^[\d.]+ m?s$/), expect.stringMatching(/^[\d.]+ m?s$/)]);
    expect(await page.evaluate("[window.mark, Math.round(scrollY), document.querySelector('.scroll').scrollLeft, document.querySelector('input').value]")).toEqual([1, 400, 60, "half typed"]);
    // The rate is that of the last whole 5 s.
    await expect.poll(async () => (await first())[3], { timeout: 20_000 }).not.toBe("0");
    expect(page.complaints).toEqual([]);
    await r.router.drain();
    await expect.poll(() => page.evaluate("document.querySelector('#trouble').textContent"), { timeout: 20_000 }).toMatch(/does not answer/);
  });

  test("without JavaScript it is whole; narrow, only the table scrolls sideways; dark is dark", { timeout: 90_000 }, async () => {
    await using r = await rig({ status: { port: 0 } });
    r.router.table.register(`${"long-".repeat(10)}name.example.com/with/a/path`, { host: "10.0.0.1", port: 80 });
    await using page = await openPage(`http://127.0.0.1:${r.router.statusAddress?.port}/`, { width: 400, height: 700, dark: true, javaScript: false });
    await expect.poll(() => page.evaluate("[document.querySelectorAll('#rows tr').length, document.documentElement.scrollWidth <= 400, getComputedStyle(document.body).backgroundColor]"), { timeout: 20_000 })
      .toEqual([1, true, "rgb(16, 20, 26)"]);
  });
});
