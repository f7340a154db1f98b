// Every proxy of the comparison, and what is missing of it on this machine.
import { engines, startOpencf } from "./opencf.mjs";
import { hasNginx, startNginx } from "./nginx.mjs";
import { hasHaproxy, startHaproxy } from "./haproxy.mjs";
import { hasGorouter, startGorouter } from "./gorouter.mjs";
import { installedPeers, startPeer } from "./peers.mjs";

/** Starts them one after the other; one that does not start leaves a note. @param only parts of names, with commas between them: the others are left out. */
export async function startAll({ only = "", ...context }) {
  const table = [
    ...engines.map((engine) => [`opencf-router (${engine})`, () => startOpencf({ ...context, engine })]),
    ...(hasNginx() ? [["nginx", () => startNginx(context)], ["nginx, log buffered", () => startNginx({ ...context, name: "nginx, log buffered", log: "buffered" })]] : []),
    ...(hasHaproxy() ? [["haproxy", () => startHaproxy(context)]] : []),
    ...(hasGorouter() ? [true, false].map((keepAlive) => ["gorouter", () => startGorouter({ ...context, keepAlive })]) : []),
    ...installedPeers().map((name) => [name, () => startPeer({ ...context, name })]),
  ];
  const proxies = [];
  const notes = [
    ...(hasNginx() ? [] : ["nginx is not on the PATH: no ratios."]), ...(hasHaproxy() ? [] : ["haproxy is not on the PATH."]),
    ...(hasGorouter() ? [] : ["No gorouter: set GOROUTER=/path/to/its/program, and have nats-server on the PATH."]),
    ...(installedPeers().length > 0 ? [] : ["No proxies from npm: set PEERS=/folder where they are installed, see bench/proxies/peers.mjs."]),
  ];
  for (const [name, start] of table) {
    if (!only.split(",").some((part) => name.includes(part))) continue;
    try { proxies.push(await start()); } catch (cause) { notes.push(`${name} left out: ${cause.message.split("\n").slice(0, 3).join(" ")}`); }
  }
  return { proxies, notes };
}
