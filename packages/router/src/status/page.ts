import { createHash } from "node:crypto";
import { script, style } from "./page-assets.ts";
import { quantilesOf } from "../numbers/latency.ts";
import type { RouterReport, WorkerReport } from "./report.ts";
import { maxRows, type RouteRow, type RouteRows } from "./rows.ts";

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Nothing from elsewhere, and nothing a route's name could smuggle in. */
export const pageHeaders: Readonly<Record<string, string>> = {
  "Content-Type": "text/html; charset=utf-8",
  "Content-Security-Policy": `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
};

const columns = ["Route", "Endpoints", "Under way", "Requests/s", "1 min", "p50", "p95", "p99", "Answers", "Failed", "In", "Out"] as const;

/** Routes, rates and latencies. Says everything without JavaScript, with it the page keeps itself fresh in place. */
export function statusPage(report: RouterReport, { rows: told, count }: RouteRows, query: string, refreshSeconds: number): string {
  const { levels, state, table, total: { counters, latency: samples, rate: [perSecond] }, nowMs } = report;
  const rows = told.slice(0, maxRows);
  const more = count - rows.length;
  const latency = quantilesOf(samples);
  const sums: readonly (readonly [string, string])[] = [
    ["Routes", grouped(table.routes)], ["Addresses", grouped(table.addresses)], ["Requests", grouped(counters.requests)], ["Requests/s (1 min)", rate(perSecond)],
    ["Under way", grouped(levels.requests - levels.tunnels)], ["Waiting", grouped(levels.waiting)], ["Tunnels", grouped(levels.tunnels)], ["p50", duration(latency[50])], ["p99", duration(latency[99])],
    ["5xx", grouped(counters.responses_5xx)], ["Refused", grouped(counters.bad_requests)], ["In", bytes(counters.bytes_in)], ["Out", bytes(counters.bytes_out)],
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${state} · ${rate(perSecond)} requests/s · Router</title>
<link rel="icon" href="data:,">
<style>${style}</style>
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
</head>
<body data-refresh="${refreshSeconds}">
<header id="head"><h1>Router</h1><span class="state${report.healthy ? " good" : ""}">${state}</span><small>${escapeHtml(report.id)}</small>${report.workers === undefined ? "" : workersLine(report.workers)}</header>
<main>
<dl id="sums" aria-label="Sums">${sums.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>
<form method="get" role="search"><input name="q" type="search" value="${escapeHtml(query)}" placeholder="part of a route" aria-label="Show only routes that contain"><button>Show</button></form>
<div class="scroll" role="region" aria-label="Table of routes" tabindex="0">
<table>
<thead><tr>${columns.map((name, at) => `<th scope="col"${at === 0 ? "" : " class=\"n\""}>${name}</th>`).join("")}</tr></thead>
<tbody id="rows">
${rows.length === 0 ? `<tr><td colspan="${columns.length}" class="empty">${query === "" ? "No routes yet. Nobody has registered any." : "No route contains this."}</td></tr>` : rows.map(row).join("\n")}
${more > 0 ? `<tr><td colspan="${columns.length}" class="empty">and ${grouped(more)} more</td></tr>` : ""}
</tbody>
</table>
</div>
</main>
<footer><p id="trouble" role="status"></p><p id="told">As of <time datetime="${new Date(nowMs).toISOString()}">${new Date(nowMs).toISOString().slice(11, 19)} UTC</time>; rates of the last 5 s, latencies of the last 128 requests</p><p><a href="/metrics">Prometheus text</a> · <a href="/varz">/varz</a> · <a href="/routes">/routes</a></p></footer>
<script>${script}</script>
</body>
</html>
`;
}

/** Of several workers: how many are there, and who is not. */
function workersLine(workers: readonly WorkerReport[]): string {
  const away = workers.filter(({ state }) => state === "silent" || state === "dead");
  return `<small>${workers.length - away.length} of ${workers.length} workers</small>${away.map(({ worker, state }) => `<span class="bad">worker ${worker} ${state === "dead" ? "has died" : "does not answer"}</span>`).join("")}`;
}

function row(each: RouteRow): string {
  const { route, apps, endpoints, avoided, unconfirmed, latency, requests, responses } = each;
  const failed = responses["5xx"];
  const cells = [
    `${endpoints === 0 ? "<span class=\"bad\">none</span>" : grouped(endpoints)}${avoided > 0 ? ` <span class="bad">${avoided} avoided</span>` : ""}${unconfirmed > 0 ? ` <span class="warn">${unconfirmed} unconfirmed</span>` : ""}`,
    grouped(each.inFlight), rate(each.now), rate(each.minute),
    ...([50, 95, 99] as const).map((percent) => (latency === undefined ? "–" : duration(latency[percent]))),
    grouped(requests),
    failed === 0 ? "0" : `<span class="bad">${grouped(failed)} (${(failed / requests * 100).toFixed(1)} %)</span>`,
    `${bytes(each.inPerSecond)}/s`, `${bytes(each.outPerSecond)}/s`,
  ];
  return `<tr><th scope="row">${escapeHtml(route)}${apps.slice(0, 3).map((app) => `<small>${escapeHtml(app)}</small>`).join("")}${apps.length > 3 ? `<small>and ${apps.length - 3} more apps</small>` : ""}</th>`
    + `${cells.map((cell) => `<td class="n">${cell}</td>`).join("")}</tr>`;
}

/** Letters that turn the direction of text, or show nothing, are shown as what they are: strangers. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

const grouped = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const rate = (value: number): string => (value === 0 ? "0" : value < 10 ? value.toFixed(1) : grouped(value));
const duration = (seconds: number): string => (seconds === 0 ? "–" : seconds < 0.00005 ? "&lt;0.1 ms" : seconds < 0.0995 ? `${(seconds * 1_000).toFixed(1)} ms` : seconds < 1 ? `${Math.round(seconds * 1_000)} ms` : `${seconds.toFixed(2)} s`);

function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; value >= 999.5 && at < units.length - 1; at += 1) value /= 1_000;
  return `${at === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}
