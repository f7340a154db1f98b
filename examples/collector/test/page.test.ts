import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HttpListener, listen } from "@opencf/bus/http";
import { ago, pageHeaders, renderPage } from "../page.ts";
import { style } from "../page-assets.ts";
import type { ComponentView } from "../view.ts";
import { chromium, openPage } from "./fixtures/browser.ts";

const nowMs = Date.parse("2026-03-01T12:00:00Z");
const component = (more: Partial<ComponentView> = {}): ComponentView => ({
  type: "Router", index: 0, uuid: "0-aa", host: "10.0.0.1:8080", state: "up", reason: null, since: "2026-03-01T11:00:00.000Z", seen: "2026-03-01T11:59:57.000Z",
  started: "2026-02-28T08:30:00.000Z", version: "1.2.3", zone: "z1", memory_bytes: 64 * 1_048_576, cpu_percent: 1.25, requests: 1_234_567, scrape_ms: 12, ...more,
});
const render = (components: ComponentView[], connected = true) => renderPage({ components, connected, nowMs, refreshSeconds: 5 });

test("a row says who, how, since when, where and how much", () => {
  const row = /<tr class="up">.*<\/tr>/.exec(render([component()]))?.[0] ?? "";
  expect(row.replace(/<[^>]*>/g, " ").replace(/[\s\u202f]+/g, " ").trim()).toBe("Router 0 10.0.0.1:8080 up 1 d 3 h 1.2.3 z1 64 MB 1.3 % 1 234 567 3 s ago");
});

test("the title and the summary count; who is gone says since when and why, and no stale numbers", () => {
  const page = render([component(), component({ state: "gone", reason: "refuses the connection" }), component({ state: "failing" })], false);
  expect(page).toContain("<title>1 of 3 up · Components</title>");
  expect(page.match(/<ul id="summary".*<\/ul>/)?.[0].replace(/<[^>]*>/g, " ").replace(/\s+/g, " ")).toBe(" 1 up 1 failing 1 gone the bus is away ");
  const gone = /<tr class="gone">.*<\/tr>/.exec(page)?.[0] ?? "";
  expect(gone).toMatch(/for <time[^>]*>1 h 0 min<\/time>/);
  expect(gone).toContain("refuses the connection");
  expect(gone).not.toMatch(/64 MB|1\.3 %/);
});

test("nobody there: what to look at", () => expect(render([])).toContain("Nobody has answered yet."));

test("whatever a component calls itself stays text", () => {
  const evil = `</td><script>alert(1)</script><img src=x onerror="x">'&\u202e\u0007`;
  const page = render([component({ type: evil, host: evil, version: evil, zone: evil, uuid: evil, reason: evil })]);
  expect(page.match(/<script/g)).toHaveLength(1);
  expect(page).not.toMatch(/<img|onerror="|[\u202e\u0007]/);
});

test("the table has a caption by its region, headers for columns and rows, a language and no style or script beside those allowed", () => {
  const page = render([component()]);
  expect(page).toMatch(/<html lang="en">[^]*role="region" aria-label="[^"]+" tabindex="0"[^]*<table>/);
  expect(page.match(/<th scope="col"/g)).toHaveLength(9);
  expect(page).toMatch(/<th scope="row">/);
  expect(page).not.toMatch(/ style=| on[a-z]+=/);
  expect(pageHeaders["content-security-policy"]).toMatch(/default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'/);
});

test("every text has a contrast of at least 4.5 to 1, light and dark", () => {
  const schemes = [...style.matchAll(/:root\{([^}]*)\}/g)].map(([, rules = ""]) => Object.fromEntries([...rules.matchAll(/--([\w-]+):(#\w+)/g)].map(([, name, value]) => [name, value])));
  expect(schemes).toHaveLength(2);
  for (const colors of schemes)
    for (const [ink, ground] of [["ink", "ground"], ["ink", "card"], ["soft", "ground"], ["soft", "card"], ["link", "ground"], ["bad", "ground"], ["up", "up-g"], ["warn", "warn-g"], ["bad", "bad-g"], ["off", "off-g"]] as const)
      expect([ink, ground, contrast(colors[ink] ?? "", colors[ground] ?? "") >= 4.5]).toEqual([ink, ground, true]);
});

function contrast(a: string, b: string): number {
  const luminance = (color: string): number => {
    const hex = color.length === 4 ? color.replace(/\w/g, "$&$&") : color;
    const [r = 0, g = 0, blue = 0] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

test.each([[0, "0 s"], [59_400, "59 s"], [60_000, "1 min"], [3_600_000, "1 h 0 min"], [90_000_000, "1 d 1 h"], [-5_000, "0 s"]])("%i ms ago is %s", (ms, text) => expect(ago(ms)).toBe(text));

describe.skipIf(!chromium)("in a real browser (apt-get install chromium)", () => {
  let http: HttpListener;
  let asked = 0;
  let broken = false;
  beforeAll(async () => {
    http = await listen(() => {
      if (broken) return new Response("x", { status: 500 });
      asked++;
      const components = Array.from({ length: 60 }, (_, index) => component({ index, uuid: `${index}-aa`, requests: asked * 1_000 + index }));
      return new Response(renderPage({ components, connected: true, nowMs, refreshSeconds: 1 }), { headers: { "content-type": "text/html; charset=utf-8", ...pageHeaders } });
    });
  });
  afterAll(() => http[Symbol.asyncDispose]());

  test("it keeps itself fresh without losing the place, says when it cannot, and comes back", { timeout: 60_000 }, async () => {
    await using page = await openPage(`http://127.0.0.1:${http.port}/`, { width: 700, height: 500 });
    await page.evaluate(`window.mark = 1; document.querySelector(".scroll").scrollLeft = 120; window.scrollTo(0, 900)`);
    const before = asked;
    await expect.poll(() => asked, { timeout: 15_000 }).toBeGreaterThan(before + 1);
    await expect.poll(() => page.evaluate<string>(`document.querySelector("#rows tr td:nth-child(8)").textContent`), { timeout: 15_000 }).not.toMatch(/^1\D/);
    expect(await page.evaluate(`[window.mark, Math.round(scrollY), document.querySelector(".scroll").scrollLeft]`)).toEqual([1, 900, 120]);
    expect(page.complaints).toEqual([]);
    broken = true;
    await expect.poll(() => page.evaluate(`document.querySelector("#trouble").textContent`), { timeout: 15_000 }).toMatch(/does not answer/);
    broken = false;
    await expect.poll(() => page.evaluate(`document.querySelector("#trouble").textContent`), { timeout: 15_000 }).toBe("");
  });

  test("without JavaScript it is whole and reloads by itself; narrow, only the table scrolls sideways; dark is dark", { timeout: 60_000 }, async () => {
    await using page = await openPage(`http://127.0.0.1:${http.port}/`, { width: 400, height: 700, dark: true, javaScript: false });
    const before = asked;
    await expect.poll(() => asked, { timeout: 15_000 }).toBeGreaterThan(before);
    // It may be between two pages just now.
    await expect.poll(() => page.evaluate(`[document.querySelectorAll("#rows tr").length, document.documentElement.scrollWidth <= 400, getComputedStyle(document.body).backgroundColor]`), { timeout: 15_000 })
      .toEqual([60, true, "rgb(17, 21, 27)"]);
  });
});
