import type { Body } from "@opencf/bus";
import type { deaStartInstance } from "@opencf/bus/messages";
import type { DesiredProcess } from "./runtime.ts";

type StartMessage = Body<typeof deaStartInstance>;

/** What an executor is told to start: one instance of a process. @param url where the droplet is fetched */
export const startMessage = (process: DesiredProcess, index: number, url: string): StartMessage => ({
  droplet: process.processGuid,
  version: process.version,
  index,
  name: process.name,
  uris: [...process.uris],
  stack: process.stack,
  sha1: process.dropletSha1,
  sha256: process.dropletSha256,
  executableUri: url,
  start_command: process.startCommand,
  limits: { mem: process.memoryMb, disk: process.diskMb, fds: 16_384 },
  env: Object.entries(process.env).map(([name, value]) => `${name}=${value}`),
  services: [],
  vcap_application: { ...process.vcapApplication },
  vcap_services: { ...process.vcapServices },
  ...(process.egress && { egress_network_rules: [...process.egress] }),
  ...healthFields(process.healthCheck),
  ...readinessFields(process.readinessCheck),
  cc_partition: "default",
  process_guid: process.processGuid,
  process_type: process.processType,
  log_source: { source_id: process.appGuid, tags: logTags(process) },
});

const healthFields = ({ type, endpoint, timeoutSeconds, invocationTimeoutSeconds, intervalSeconds }: DesiredProcess["healthCheck"]): Partial<StartMessage> => ({
  health_check_type: type,
  ...(endpoint !== undefined && { health_check_http_endpoint: endpoint }),
  ...(timeoutSeconds !== undefined && { health_check_timeout: timeoutSeconds }),
  ...(invocationTimeoutSeconds !== undefined && { health_check_invocation_timeout: invocationTimeoutSeconds }),
  ...(intervalSeconds !== undefined && { health_check_interval: intervalSeconds }),
});

function readinessFields(check: DesiredProcess["readinessCheck"]): Partial<StartMessage> {
  if (check === undefined || check.type === "process") return {};
  const { type, endpoint, invocationTimeoutSeconds, intervalSeconds } = check;
  return {
    readiness_health_check_type: type,
    ...(endpoint !== undefined && { readiness_health_check_http_endpoint: endpoint }),
    ...(invocationTimeoutSeconds !== undefined && { readiness_health_check_invocation_timeout: invocationTimeoutSeconds }),
    ...(intervalSeconds !== undefined && { readiness_health_check_interval: intervalSeconds }),
  };
}

const logTags = (process: DesiredProcess): Record<string, string> => ({
  app_id: process.appGuid, app_name: process.name, process_id: process.processGuid, process_type: process.processType,
  space_id: process.spaceGuid, space_name: process.spaceName, organization_id: process.orgGuid, organization_name: process.orgName,
  source_type: `APP/PROC/${process.processType.toUpperCase()}`,
});
