import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { cpus } from "node:os";
import type { Bus } from "./bus.ts";
import { listen } from "./http.ts";
import { componentAnnounce, componentDiscover } from "./messages/component.ts";
import { type Clock, systemClock } from "./ports.ts";

export interface AnnounceOptions {
  /** What it is: `Router`, `DEA`, `CloudController` ... */
  type: string;
  /** Which one of its kind. Default 0. */
  index?: number;
  /** Where `/varz` and `/healthz` answer. Default 127.0.0.1 and a free port. */
  host?: string;
  port?: number;
  /** Basic credentials for them. Default: random, told to whoever discovers. */
  user?: string;
  password?: string;
  /** The address that is announced in place of the status port, where others should come to this one first. */
  address?: { host: string; port: number };
  /** More fields for `/varz`, asked for at each request. */
  varz?: () => object;
  /** Whether this component can work. Default: always. */
  healthy?: () => boolean;
  clock?: Clock;
}

export interface Announcement extends AsyncDisposable {
  readonly uuid: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Says on the bus who a component is, answers whoever asks (`vcap.component.discover`), and serves `/varz` and `/healthz`
 * behind Basic credentials. It announces itself again when the bus comes back. (vcap-common `component.rb`.)
 */
export async function announce(bus: Bus, options: AnnounceOptions): Promise<Announcement> {
  const { type, index = 0, host = "127.0.0.1", port = 0, user = hex(16), password = hex(16), varz, healthy = () => true, clock = systemClock } = options;
  const uuid = `${index}-${hex(16)}`;
  const startedMs = clock.now();
  const wanted = digest(`Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`);
  let lastCpu = { atMs: startedMs, usedUs: 0, percent: 0 };

  const http = await listen((request) => {
    const path = new URL(request.url).pathname;
    if (!timingSafeEqual(digest(request.headers.get("authorization") ?? ""), wanted))
      return new Response("unauthorized\n", { status: 401, headers: { "www-authenticate": `Basic realm="${type}"` } });
    if (path === "/healthz") return new Response(healthy() ? "ok\n" : "not ok\n", { status: healthy() ? 200 : 503 });
    if (path === "/varz") return Response.json({ ...self(), ...machine(), ...varz?.() });
    return new Response("only /varz and /healthz are here\n", { status: 404 });
  }, { host, port });

  const shownAt = options.address ?? http;
  const self = () => ({
    type, index, uuid,
    host: `${shownAt.host}:${shownAt.port}`,
    credentials: [user, password],
    start: new Date(startedMs).toISOString().replace("T", " ").replace(/\..*/, " +0000"),
    uptime: duration(clock.now() - startedMs),
  });
  const machine = () => {
    const { user: userUs, system: systemUs } = process.cpuUsage();
    const nowMs = clock.now();
    if (nowMs - lastCpu.atMs >= 1_000)
      lastCpu = { atMs: nowMs, usedUs: userUs + systemUs, percent: (userUs + systemUs - lastCpu.usedUs) / (nowMs - lastCpu.atMs) / 10 };
    return { num_cores: cpus().length, mem: Math.round(process.memoryUsage.rss() / 1_024), cpu: Number(lastCpu.percent.toFixed(1)) };
  };

  const discovery = bus.subscribe(componentDiscover, ({ respond }) => respond(self()));
  const say = (): void => bus.publish(componentAnnounce, self());
  const back = bus.onStatus((status) => status === "connected" && say());
  say();
  return {
    uuid,
    host: http.host,
    port: http.port,
    async [Symbol.asyncDispose]() {
      discovery[Symbol.dispose]();
      back[Symbol.dispose]();
      await http[Symbol.asyncDispose]();
    },
  };
}

const hex = (bytes: number): string => randomBytes(bytes).toString("hex");
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const duration = (ms: number): string => {
  const s = Math.floor(ms / 1_000);
  return `${Math.floor(s / 86_400)}d:${Math.floor(s / 3_600) % 24}h:${Math.floor(s / 60) % 60}m:${s % 60}s`;
};
