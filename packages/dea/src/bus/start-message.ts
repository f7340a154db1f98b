import type { Body } from "@opencf/bus";
import type { deaStartInstance } from "@opencf/bus/messages";
import type { EgressRule } from "../container/egress.ts";
import { DeaError } from "../errors.ts";
import { MiB, type HealthCheckSpec, type ReadinessCheckSpec, type StartSpec } from "../instance/spec.ts";
import { runtimeAnswers, runtimeWish } from "../placement/runtime.ts";
import type { RuntimeOffer } from "../placement/shapes.ts";

export type StartMessage = Body<typeof deaStartInstance>;

/** Longest start-up time a sender can ask for: the Cloud Controller's own bound is below it. */
const maxHealthTimeoutMs = 600_000;

/** Longest time between TERM and KILL a sender can ask for. */
const maxGraceMs = 900_000;

function healthCheckOf(body: StartMessage): HealthCheckSpec {
  const check: HealthCheckSpec = {};
  if (body.health_check_type) check.type = body.health_check_type;
  // An app nobody can reach has nothing to answer on.
  else if ((body.uris ?? []).length === 0) check.type = "process";
  if (body.health_check_http_endpoint) check.path = body.health_check_http_endpoint;
  if (body.health_check_timeout) check.timeoutMs = Math.min(body.health_check_timeout * 1000, maxHealthTimeoutMs);
  if (body.health_check_interval) check.intervalMs = body.health_check_interval * 1000;
  if (body.health_check_invocation_timeout) check.invocationTimeoutMs = body.health_check_invocation_timeout * 1000;
  return check;
}

function readinessCheckOf(body: StartMessage): ReadinessCheckSpec {
  const check: ReadinessCheckSpec = {};
  if (body.readiness_health_check_type) check.type = body.readiness_health_check_type;
  if (body.readiness_health_check_http_endpoint) check.path = body.readiness_health_check_http_endpoint;
  if (body.readiness_health_check_interval) check.intervalMs = body.readiness_health_check_interval * 1000;
  if (body.readiness_health_check_invocation_timeout) check.invocationTimeoutMs = body.readiness_health_check_invocation_timeout * 1000;
  return check;
}

/** The rules of the message; what it says with null is left out. */
export const egressOf = (rules: NonNullable<StartMessage["egress_network_rules"]>): EgressRule[] =>
  rules.map((rule) => Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== null && value !== undefined)) as unknown as EgressRule);

/**
 * What a `dea.<id>.start` asks for. Throws DEA_INVALID_SPEC when the droplet cannot be fetched and verified,
 * or the stack is none of ours (`roots`: stacks the backend has a root file system of), or, where it is known which runtimes stand here, the runtime is none of them.
 */
export function specOfMessage(body: StartMessage, stacks: readonly string[], runtimes?: readonly RuntimeOffer[], roots: readonly string[] = []): StartSpec {
  if (body.stack && !stacks.includes(body.stack)) throw new DeaError("DEA_INVALID_SPEC", `The requested stack "${body.stack}" does not exist here.`);
  const { runtime } = body;
  if (runtime && runtimes && !runtimes.some((each) => runtimeAnswers(each, runtimeWish(runtime))))
    throw new DeaError("DEA_INVALID_SPEC", `The requested runtime "${runtime}" does not stand here.`);
  if (!body.executableUri) throw new DeaError("DEA_INVALID_SPEC", "the message names no droplet to download");
  if (!body.sha1 && !body.sha256) throw new DeaError("DEA_INVALID_SPEC", "the message gives no digest of the droplet");
  const application = body.vcap_application ?? {};
  const processGuid = String(body.droplet);
  const appId = typeof application["application_id"] === "string" ? application["application_id"] : processGuid;
  const processType = body.process_type ?? "web";
  return {
    droplet: {
      url: body.executableUri,
      ...(body.sha1 ? { sha1: body.sha1 } : {}),
      ...(body.sha256 ? { sha256: body.sha256 } : {}),
    },
    ...(body.start_command ? { command: body.start_command } : {}),
    ...(body.stack && roots.includes(body.stack) ? { stack: body.stack } : {}),
    memoryBytes: body.limits.mem * MiB,
    diskBytes: body.limits.disk * MiB,
    fileDescriptors: body.limits.fds,
    env: body.env ?? [],
    healthCheck: healthCheckOf(body),
    readinessCheck: readinessCheckOf(body),
    ...(body.graceful_shutdown_interval === undefined ? {} : { graceMs: Math.min(body.graceful_shutdown_interval * 1000, maxGraceMs) }),
    ...(body.priority === undefined ? {} : { priority: body.priority }),
    ...(body.flapping === true ? { keepCrashFiles: false } : {}),
    appId,
    version: body.version,
    index: body.index,
    name: body.name,
    uris: body.uris ?? [],
    processType,
    processGuid,
    application,
    services: body.vcap_services ?? body.services ?? [],
    logSource: {
      sourceId: body.log_source?.source_id ?? appId,
      tags: { source_type: `APP/PROC/${processType.toUpperCase()}`, ...body.log_source?.tags },
    },
    routeTags: body.log_source?.tags ?? {},
    ...(body.egress_network_rules ? { egress: egressOf(body.egress_network_rules) } : {}),
    ...(body.command_id ? { commandId: body.command_id } : {}),
    ...(body.cc_partition ? { partition: body.cc_partition } : {}),
  };
}
