import { BusError } from "../errors.ts";

/** Addresses without secrets, and the secrets that were in them. */
export interface Addresses {
  /** `host:port` as the client takes them. */
  readonly servers: string[];
  /** Some address asked for TLS. */
  readonly tls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** @throws BusError `BUS_CONNECT_FAILED` for what is no address; its text shows no secret */
export function readAddresses(given: string | readonly string[]): Addresses {
  const texts = [given].flat().flatMap((each) => each.split(",")).map((each) => each.trim()).filter((each) => each !== "");
  const servers: string[] = [];
  let tls = false;
  let login: Pick<Addresses, "user" | "password" | "token"> | undefined;
  for (const text of texts) {
    const url = parse(text);
    if (!url) throw new BusError("BUS_CONNECT_FAILED", `"${withoutSecrets(text)}" is no address of a NATS server: nats://host:port or tls://host:port is needed`);
    servers.push(`${url.hostname}:${url.port || "4222"}`);
    tls ||= url.protocol === "tls:";
    if (url.username !== "")
      login ??= url.password === "" ? { token: decodeURIComponent(url.username) } : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  }
  if (servers.length === 0) throw new BusError("BUS_CONNECT_FAILED", "no address of a NATS server was given: nats://host:port is needed");
  return { servers, tls, ...login };
}

/** An address as it may be shown. */
export const withoutSecrets = (address: string): string => address.replace(/^([a-z]+:\/\/)?.*@/i, "$1***@");

function parse(text: string): URL | undefined {
  const [, scheme = "nats", rest = ""] = /^(?:([a-z]+):\/\/)?(.*)$/i.exec(text) ?? [];
  if (!["nats", "tls"].includes(scheme.toLowerCase())) return undefined;
  try {
    const url = new URL(`${scheme.toLowerCase()}://${rest}`);
    decodeURIComponent(url.username + url.password);
    return url.hostname === "" || !["", "/"].includes(url.pathname) ? undefined : url;
  } catch {
    return undefined;
  }
}
