import type { Body, Bus } from "@opencf/bus";
import { routerGreet, routerRegister, routerStart, routerUnregister } from "@opencf/bus/messages";

/**
 * The public addresses of the platform, in the form in which a client came:
 * by name (`api.DOMAIN`, `uaa.DOMAIN` ...) where names resolve, or under paths of a bare address where they do not.
 */
export interface PublicUrls {
  readonly form: "named" | "bare";
  readonly api: string;
  readonly uaa: string;
  readonly login: string;
  readonly logCache: string;
  /** Where an app's route answers, for a route such as `hello.cf.localhost/path`. */
  route(hostAndPath: string): string;
}

type HeaderBag = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Reads the form from `Host` (as the client sent it) and the scheme from `X-Forwarded-Proto` (as the router set it). */
export function publicUrls(headers: HeaderBag, domain: string): PublicUrls {
  const host = one(headers["host"]) ?? `api.${domain}`;
  const scheme = one(headers["x-forwarded-proto"])?.split(",")[0]?.trim() === "https" ? "https" : "http";
  const { name, port } = splitHost(host);
  const suffix = port === "" ? "" : `:${port}`;
  if (!isNamed(name, domain)) {
    const base = `${scheme}://${host}`;
    return {
      form: "bare", api: base, uaa: `${base}/uaa`, login: `${base}/uaa`, logCache: `${base}/log-cache`,
      route: (hostAndPath) => `${base}/~${shortRoute(hostAndPath, domain)}`,
    };
  }
  const at = (label: string): string => `${scheme}://${label}.${domain}${suffix}`;
  return {
    form: "named", api: at("api"), uaa: at("uaa"), login: at("login"), logCache: at("log-cache"),
    route: (hostAndPath) => {
      const slash = hostAndPath.indexOf("/");
      return slash < 0 ? `${scheme}://${hostAndPath}${suffix}` : `${scheme}://${hostAndPath.slice(0, slash)}${suffix}${hostAndPath.slice(slash)}`;
    },
  };
}

/** What a request to a bare address is really for: the host to look up and the target with the door's prefix taken off. */
export function bareDoor(host: string, target: string, domain: string): { host: string; target: string } | undefined {
  if (isNamed(splitHost(host).name, domain)) return undefined;
  const [, first = "", rest = ""] = /^\/([^/?]*)(.*)$/s.exec(target) ?? [];
  const stripped = rest.startsWith("/") ? rest : `/${rest}`;
  if (first === "uaa") return { host: `uaa.${domain}`, target: stripped };
  // The command line's log client keeps only host and port of the address it is given and asks below /api/v1.
  if (/^\/api\/v1(\/|$|\?)/.test(target)) return { host: `log-cache.${domain}`, target };
  if (first === "log-cache") return { host: `log-cache.${domain}`, target: stripped };
  if (first.startsWith("~") && first.length > 1) {
    const app = decodeName(first.slice(1));
    return { host: app.includes(".") ? app : `${app}.${domain}`, target: stripped };
  }
  return { host: `api.${domain}`, target };
}

/** Bare: an address without a name, or a name that says only "this machine". Everything else is looked up as it is. */
function isNamed(name: string, domain: string): boolean {
  const lower = name.toLowerCase();
  if (lower === domain || lower.endsWith(`.${domain}`)) return true;
  return !(lower === "localhost" || lower.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(lower));
}

function splitHost(host: string): { name: string; port: string } {
  const [, name = host, port = ""] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host) ?? [];
  return { name, port };
}

function shortRoute(hostAndPath: string, domain: string): string {
  const [, host = "", path = ""] = /^([^/]*)(.*)$/s.exec(hostAndPath) ?? [];
  const short = host.endsWith(`.${domain}`) && !host.slice(0, -domain.length - 1).includes(".") ? host.slice(0, -domain.length - 1) : host;
  return `${short}${path === "" ? "/" : path}`;
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const one = (value: string | readonly string[] | undefined): string | undefined => (typeof value === "string" ? value : value?.[0]);

export interface RouteOptions {
  host: string;
  port: number;
  uris: readonly string[];
  tags?: Record<string, string>;
  /** Default 20 000 ms, the interval that routers ask for. */
  intervalMs?: number;
}

/**
 * Registers the routes of a platform part as an app's are registered: now, whenever a router starts, and again and again.
 * Disposing unregisters them.
 */
export function keepRegistered(bus: Bus, { host, port, uris, tags = {}, intervalMs = 20_000 }: RouteOptions): AsyncDisposable {
  const body: Body<typeof routerRegister> = { host, port, uris: [...uris], tags };
  const say = (): void => bus.publish(routerRegister, body);
  const started = bus.subscribe(routerStart, say);
  const back = bus.onStatus((status) => status === "connected" && say());
  const timer = setInterval(say, intervalMs);
  timer.unref();
  say();
  // A router that is already there is asked to say so: its own start message may have gone out before we listened.
  void bus.gather(routerGreet, {}, { waitMs: 500, max: 1 }).then((found) => found.length > 0 && say()).catch(() => undefined);
  let gone = false;
  return {
    [Symbol.asyncDispose]() {
      if (gone) return Promise.resolve();
      gone = true;
      clearInterval(timer);
      started[Symbol.dispose]();
      back[Symbol.dispose]();
      if (bus.connected) bus.publish(routerUnregister, body);
      return Promise.resolve();
    },
  };
}
