import type { OriginatingIdentity } from "./broker.ts";
import { BrokerError, badRequest } from "./errors.ts";
import { isObject } from "./json.ts";

/** Every 2.x is accepted: minor versions only add. */
const versionPattern = /^2\.\d{1,4}$/;

/** Answers 412 also when the header is missing: the specification leaves the choice, the usual checker wants this one. */
export function demandVersion(headers: Headers): void {
  const version = headers.get("x-broker-api-version");
  if (version !== null && versionPattern.test(version.trim())) return;
  const said = version === null ? "is missing" : "is not supported";
  throw new BrokerError("BROKER_VERSION_UNSUPPORTED", `the header X-Broker-API-Version ${said}; this broker speaks 2.x, for example 2.17`);
}

/** Reads `X-Broker-API-Originating-Identity: <platform> <base64 of a JSON object>`. Throws `BROKER_BAD_REQUEST`. */
export function readOriginatingIdentity(headers: Headers): OriginatingIdentity | undefined {
  const header = headers.get("x-broker-api-originating-identity");
  if (header === null) return undefined;
  const [, platform, encoded] = /^(\S+) ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(header.trim()) ?? [];
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded ?? "", "base64").toString("utf8"));
    if (platform !== undefined && isObject(value)) return { platform, value };
  } catch { /* falls through: told below */ }
  throw badRequest("the header X-Broker-API-Originating-Identity is not a platform and a JSON object in base64");
}

/** What is echoed into the answer and the log: printable and of bounded length, else ignored. */
export function readRequestIdentity(headers: Headers): string | undefined {
  const identity = headers.get("x-broker-api-request-identity") ?? undefined;
  return identity !== undefined && /^[\x21-\x7e][\x20-\x7e]{0,254}$/.test(identity) ? identity : undefined;
}
