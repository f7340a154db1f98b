/**
 * VCAP_APPLICATION and VCAP_SERVICES: what an app is told about itself and its services.
 * The executor adds what only it knows (instance id and index, host, port, times).
 */
export interface VcapApplicationParts {
  apiUrl: string;
  appGuid: string;
  appName: string;
  spaceGuid: string;
  spaceName: string;
  organizationGuid: string;
  organizationName: string;
  uris: readonly string[];
  version: string;
  memoryMb: number;
  diskMb: number;
  fileDescriptors?: number;
  /** Only for running processes; a build has none. */
  process?: { guid: string; type: string };
}

export const defaultFileDescriptors = 16_384;

export function vcapApplication(parts: VcapApplicationParts): Record<string, unknown> {
  const { apiUrl, appGuid, appName, uris, version, process } = parts;
  return {
    cf_api: apiUrl,
    limits: { fds: parts.fileDescriptors ?? defaultFileDescriptors, mem: parts.memoryMb, disk: parts.diskMb },
    application_name: appName,
    application_uris: [...uris],
    name: appName,
    space_name: parts.spaceName,
    space_id: parts.spaceGuid,
    organization_id: parts.organizationGuid,
    organization_name: parts.organizationName,
    uris: [...uris],
    users: null,
    ...(process ? { process_id: process.guid, process_type: process.type } : {}),
    application_id: appGuid,
    version,
    application_version: version,
  };
}

/** One binding as VCAP_SERVICES shows it. `offering` is absent for a user-provided instance. */
export interface ServiceBindingDescription {
  bindingGuid: string;
  bindingName: string | null;
  instanceGuid: string;
  instanceName: string;
  tags: readonly string[];
  credentials: unknown;
  syslogDrainUrl: string | null;
  volumeMounts: readonly unknown[];
  offering?: { label: string; tags: readonly string[] };
  planName?: string;
}

export function vcapServices(bindings: readonly ServiceBindingDescription[]): Record<string, unknown[]> {
  const services = new Map<string, unknown[]>();
  for (const binding of bindings) {
    const label = binding.offering?.label ?? "user-provided";
    const entry = {
      label,
      provider: null,
      ...(binding.offering ? { plan: binding.planName ?? null } : {}),
      name: binding.bindingName ?? binding.instanceName,
      tags: [...new Set([...(binding.offering?.tags ?? []), ...binding.tags])],
      instance_guid: binding.instanceGuid,
      instance_name: binding.instanceName,
      binding_guid: binding.bindingGuid,
      binding_name: binding.bindingName,
      credentials: binding.credentials ?? {},
      syslog_drain_url: binding.syslogDrainUrl,
      volume_mounts: [...binding.volumeMounts],
    };
    services.set(label, [...(services.get(label) ?? []), entry]);
  }
  return Object.fromEntries(services);
}
