import { createHash } from "node:crypto";
import { script, style } from "./page-assets.ts";
import type { ComponentView } from "./view.ts";

export interface PageOptions {
  readonly components: readonly ComponentView[];
  readonly connected: boolean;
  readonly nowMs: number;
  /** How often the page looks again. */
  readonly refreshSeconds: number;
}

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Nothing from elsewhere, nothing that a component's name could smuggle in. */
export const pageHeaders = {
  "content-security-policy": `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

const words = { up: "up", unhealthy: "unhealthy", failing: "failing", gone: "gone", new: "new" } as const;

/** The whole page; it says everything without JavaScript, with it the table keeps itself fresh in place. */
export function renderPage({ components, connected, nowMs, refreshSeconds }: PageOptions): string {
  const count = (state: ComponentView["state"]): number => components.filter((each) => each.state === state).length;
  const chips = (["up", "unhealthy", "failing", "gone", "new"] as const).filter((state) => state === "up" || count(state) > 0)
    .map((state) => `<li class="${state}"><b>${count(state)}</b> ${words[state]}</li>`).join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${count("up")} of ${components.length} up · Components</title>
<link rel="icon" href="data:,">
<style>${style}</style>
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
</head>
<body data-refresh="${refreshSeconds}">
<header>
<h1>Components</h1>
<ul id="summary" class="chips" aria-label="Components by state">${chips}${connected ? "" : '<li class="failing">the bus is away</li>'}</ul>
</header>
<main>
<div class="scroll" role="region" aria-label="Table of components" tabindex="0">
<table>
<thead><tr><th scope="col">Component</th><th scope="col">State</th><th scope="col">Running for</th><th scope="col">Version</th><th scope="col">Zone</th><th scope="col" class="n">Memory</th><th scope="col" class="n">CPU</th><th scope="col" class="n">Requests</th><th scope="col">Seen</th></tr></thead>
<tbody id="rows">
${components.length === 0 ? '<tr><td colspan="9" class="empty">Nobody has answered yet. Is the platform on this bus, and this collector on the same one?</td></tr>' : components.map((each) => row(each, nowMs)).join("\n")}
</tbody>
</table>
</div>
</main>
<footer><p id="trouble" role="status"></p><p id="told">As of <time datetime="${new Date(nowMs).toISOString()}">${new Date(nowMs).toISOString().slice(11, 19)} UTC</time></p><p>The same as <a href="metrics">Prometheus text</a> and as <a href="components.json">JSON</a></p></footer>
<script>${script}</script>
</body>
</html>
`;
}

function row(view: ComponentView, nowMs: number): string {
  const { type, index, uuid, host, state, reason, since, seen, started, version, zone, memory_bytes, cpu_percent, requests } = view;
  const ended = state === "gone";
  const sinceText = `<time datetime="${since}" title="${since}">${ago(nowMs - Date.parse(since))}</time>`;
  return `<tr class="${state}"><th scope="row">${escapeHtml(type)} <span class="index">${index}</span><small title="${escapeHtml(uuid)}">${escapeHtml(host)}</small></th>`
    + `<td><span class="state">${words[state]}</span> ${state === "up" ? "" : `<small>for ${sinceText}</small>`}${reason === null ? "" : `<small class="why">${escapeHtml(reason)}</small>`}</td>`
    + `<td>${started === null || ended ? "–" : `<time datetime="${started}" title="${started}">${ago(nowMs - Date.parse(started))}</time>`}</td>`
    + `<td>${escapeHtml(version ?? "–")}</td><td>${escapeHtml(zone ?? "–")}</td>`
    + `<td class="n">${memory_bytes === null || ended ? "–" : bytes(memory_bytes)}</td><td class="n">${cpu_percent === null || ended ? "–" : `${cpu_percent.toFixed(1)} %`}</td>`
    + `<td class="n">${requests === null || ended ? "–" : grouped(requests)}</td><td><time datetime="${seen}" title="${seen}">${ago(nowMs - Date.parse(seen))} ago</time></td></tr>`;
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** Two units at most: `3 d 4 h`, `12 min`, `7 s`. */
export function ago(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3_600) % 24} h`;
}

const bytes = (value: number): string => (value < 1_048_576 ? `${Math.round(value / 1_024)} KB` : value < 1_073_741_824 ? `${Math.round(value / 1_048_576)} MB` : `${(value / 1_073_741_824).toFixed(1)} GB`);
const grouped = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
