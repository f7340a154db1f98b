import type { BindResult, InstanceResult } from "./broker.ts";
import type { Service } from "./catalog.ts";
import { isObject, type JsonObject } from "./json.ts";

/** What an author returned cannot be sent: a platform would take the answer for a fault and clean up. */
export class ResultError extends Error {
  override readonly name = "ResultError";
}

const maxDashboardUrlChars = 16_000;

/** The body of an answer to provision or update. Throws {@link ResultError}. */
export function instanceAnswer(result: InstanceResult | void): { dashboardUrl?: string; metadata?: NonNullable<InstanceResult["metadata"]> } {
  if (result === undefined || result === null) return {};
  if (!isObject(result)) throw new ResultError("the result must be an object or nothing");
  const { dashboardUrl, metadata } = result;
  if (dashboardUrl !== undefined && (typeof dashboardUrl !== "string" || !URL.canParse(dashboardUrl) || dashboardUrl.length > maxDashboardUrlChars))
    throw new ResultError("dashboardUrl must be a URL");
  if (metadata !== undefined && (!isObject(metadata) || ![metadata.labels, metadata.attributes].every((map) => map === undefined || isStringMap(map))))
    throw new ResultError("metadata must be labels and attributes, each from text to text");
  return { ...(dashboardUrl !== undefined && { dashboardUrl }), ...(metadata !== undefined && { metadata }) };
}

const mountTexts = ["driver", "container_dir", "mode", "device_type"] as const;
const requirement = { syslogDrainUrl: "syslog_drain", routeServiceUrl: "route_forwarding", volumeMounts: "volume_mount" } as const;

/** The body of an answer to bind. Throws {@link ResultError}. */
export function bindingAnswer(result: BindResult, service: Service): JsonObject {
  if (!isObject(result as unknown)) throw new ResultError("the result must be an object");
  for (const [field, permission] of Object.entries(requirement) as [keyof typeof requirement, (typeof requirement)[keyof typeof requirement]][])
    if (result[field] !== undefined && !(service.requires ?? []).includes(permission))
      throw new ResultError(`${field} needs requires: ["${permission}"] in the catalog`);
  const { credentials, syslogDrainUrl, routeServiceUrl, volumeMounts, endpoints, expiresAt, renewBefore } = result as BindResult;
  const answer: JsonObject = {};
  if (credentials !== undefined) answer["credentials"] = demand(isObject(credentials), credentials, "credentials must be an object");
  if (syslogDrainUrl !== undefined) answer["syslog_drain_url"] = demand(hasScheme(syslogDrainUrl, ["syslog:", "syslog-tls:", "https:"]), syslogDrainUrl, "syslogDrainUrl must be a syslog, syslog-tls or https URL");
  if (routeServiceUrl !== undefined) answer["route_service_url"] = demand(hasScheme(routeServiceUrl, ["https:"]), routeServiceUrl, "routeServiceUrl must be an https URL");
  if (volumeMounts !== undefined) answer["volume_mounts"] = demand(Array.isArray(volumeMounts) && volumeMounts.every(isMount), volumeMounts, "volumeMounts are not complete");
  if (endpoints !== undefined) answer["endpoints"] = demand(Array.isArray(endpoints) && endpoints.every(isEndpoint), endpoints, "endpoints need a host and ports as text");
  if (expiresAt !== undefined || renewBefore !== undefined) answer["metadata"] = expiry(expiresAt, renewBefore);
  return answer;
}

function expiry(expiresAt: Date | undefined, renewBefore: Date | undefined): JsonObject {
  for (const date of [expiresAt, renewBefore])
    if (date !== undefined && (!(date instanceof Date) || Number.isNaN(date.getTime()))) throw new ResultError("expiresAt and renewBefore must be dates");
  if (expiresAt !== undefined && renewBefore !== undefined && renewBefore > expiresAt) throw new ResultError("renewBefore must not lie after expiresAt");
  return { ...(expiresAt && { expires_at: expiresAt.toISOString() }), ...(renewBefore && { renew_before: renewBefore.toISOString() }) };
}

function demand<T>(fine: boolean, value: T, otherwise: string): T {
  if (!fine) throw new ResultError(otherwise);
  return value;
}

function hasScheme(url: unknown, schemes: readonly string[]): boolean {
  return typeof url === "string" && url.length <= 10_000 && URL.canParse(url) && schemes.includes(new URL(url).protocol);
}

function isMount(mount: unknown): boolean {
  if (!isObject(mount) || !isObject(mount["device"])) return false;
  const texts = [...mountTexts.map((name) => mount[name]), mount["device"]["volume_id"]];
  return texts.every((text) => typeof text === "string" && text !== "") && ["r", "rw"].includes(mount["mode"] as string) && mount["device_type"] === "shared";
}

function isEndpoint(endpoint: unknown): boolean {
  return isObject(endpoint) && typeof endpoint["host"] === "string" && endpoint["host"] !== ""
    && Array.isArray(endpoint["ports"]) && endpoint["ports"].every((port) => typeof port === "string" && /^\d{1,5}(-\d{1,5})?$/.test(port))
    && [undefined, "tcp", "udp", "all"].includes(endpoint["protocol"] as string | undefined);
}

function isStringMap(value: unknown): boolean {
  return isObject(value) && Object.values(value).every((one) => typeof one === "string");
}
