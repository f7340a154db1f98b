import { maskUrl } from "./lifecycle.ts";
import { links, metadataOf, standard, time, toOneData } from "../api/present.ts";
import type { RowOf } from "../data/schema.ts";

export const hiddenInLists = "[PRIVATE DATA HIDDEN IN LISTS]";
export const hiddenData = "[PRIVATE DATA HIDDEN]";

const lifecycleOf = ({ lifecycle_type, buildpacks, stack }: { lifecycle_type: string; buildpacks: string[]; stack: string | null }): object => ({
  type: lifecycle_type,
  data: lifecycle_type === "docker" ? {} : { buildpacks: buildpacks.map(maskUrl), stack },
});

export function presentApp(app: RowOf<"apps">, api: string): object {
  const at = `/v3/apps/${app.guid}`;
  return {
    ...standard(app),
    name: app.name,
    state: app.state,
    lifecycle: lifecycleOf(app),
    relationships: { space: toOneData(app.space_guid), current_droplet: { data: app.current_droplet_guid === null ? null : { guid: app.current_droplet_guid } } },
    ...metadataOf(app),
    links: links(api, {
      self: at, environment_variables: `${at}/environment_variables`, space: `/v3/spaces/${app.space_guid}`, processes: `${at}/processes`,
      packages: `${at}/packages`, current_droplet: `${at}/droplets/current`, droplets: `${at}/droplets`, tasks: `${at}/tasks`,
      start: `POST ${at}/actions/start`, stop: `POST ${at}/actions/stop`, clear_buildpack_cache: `POST ${at}/actions/clear_buildpack_cache`,
      revisions: `${at}/revisions`, deployed_revisions: `${at}/revisions/deployed`, features: `${at}/features`,
    }),
  };
}

export interface ProcessView {
  /** The command of the droplet, where the process has none of its own. */
  detectedCommand?: string | null;
  /** `hidden in lists`, or hidden from whoever may not read secrets. */
  hide?: string;
  spaceGuid: string;
  instances?: readonly object[];
}

export function presentProcess(process: RowOf<"processes">, { detectedCommand, hide, spaceGuid, instances }: ProcessView, api: string): object {
  const at = `/v3/processes/${process.guid}`;
  const command = process.command ?? detectedCommand ?? "";
  return {
    ...standard(process),
    version: process.version,
    type: process.type,
    command: hide ?? command,
    user: process.run_as ?? "vcap",
    instances: process.instances,
    memory_in_mb: process.memory_in_mb,
    disk_in_mb: process.disk_in_mb,
    log_rate_limit_in_bytes_per_second: process.log_rate_limit_in_bytes_per_second,
    health_check: {
      type: process.health_check_type,
      data: {
        timeout: process.health_check_timeout, invocation_timeout: process.health_check_invocation_timeout, interval: process.health_check_interval,
        ...(process.health_check_type === "http" && { endpoint: process.health_check_http_endpoint }),
      },
    },
    readiness_health_check: {
      type: process.readiness_health_check_type,
      data: {
        invocation_timeout: process.readiness_health_check_invocation_timeout, interval: process.readiness_health_check_interval,
        ...(process.readiness_health_check_type === "http" && { endpoint: process.readiness_health_check_http_endpoint }),
      },
    },
    relationships: { app: toOneData(process.app_guid), revision: process.revision_guid === null ? null : toOneData(process.revision_guid) },
    ...metadataOf(process),
    links: links(api, {
      self: at, scale: `POST ${at}/actions/scale`, app: `/v3/apps/${process.app_guid}`, space: `/v3/spaces/${spaceGuid}`,
      stats: `${at}/stats`, process_instances: `${at}/process_instances`,
    }),
    ...(instances && { process_instances: instances }),
  };
}

export function presentPackage(pkg: RowOf<"packages">, api: string): object {
  const at = `/v3/packages/${pkg.guid}`;
  return {
    ...standard(pkg),
    type: pkg.type,
    data: pkg.type === "docker"
      ? { image: pkg.docker_image, username: pkg.docker_username, password: pkg.docker_username === null ? null : "***" }
      : { error: pkg.error, checksum: { type: "sha256", value: pkg.sha256 } },
    state: pkg.state,
    relationships: { app: toOneData(pkg.app_guid) },
    ...metadataOf(pkg),
    links: links(api, {
      self: at, app: `/v3/apps/${pkg.app_guid}`,
      ...(pkg.type === "bits" && { upload: `POST ${at}/upload`, download: `${at}/download` }),
    }),
  };
}

/** The error of a build as clients read it: `NoAppDetectedError - why`. */
export const buildError = (build: RowOf<"builds">): string | null => (build.error_id === null ? null : `${build.error_id} - ${build.error_description ?? ""}`);

export function presentBuild(build: RowOf<"builds">, api: string): object {
  return {
    ...standard(build),
    state: build.state,
    staging_memory_in_mb: build.staging_memory_in_mb,
    staging_disk_in_mb: build.staging_disk_in_mb,
    staging_log_rate_limit_bytes_per_second: build.staging_log_rate_limit_bytes_per_second,
    error: buildError(build),
    lifecycle: lifecycleOf(build),
    package: { guid: build.package_guid },
    droplet: build.state === "STAGED" && build.droplet_guid !== null ? { guid: build.droplet_guid } : null,
    created_by: { guid: build.created_by_guid, name: build.created_by_name, email: build.created_by_email },
    relationships: { app: toOneData(build.app_guid) },
    ...metadataOf(build),
    links: links(api, {
      self: `/v3/builds/${build.guid}`, app: `/v3/apps/${build.app_guid}`,
      droplet: build.state === "STAGED" && build.droplet_guid !== null ? `/v3/droplets/${build.droplet_guid}` : undefined,
    }),
  };
}

/** With `hide`, what only developers may read is replaced by that text. */
export function presentDroplet(droplet: RowOf<"droplets">, api: string, hide?: string): object {
  const at = `/v3/droplets/${droplet.guid}`;
  return {
    ...standard(droplet),
    state: droplet.state,
    error: droplet.error,
    lifecycle: { type: droplet.lifecycle_type, data: {} },
    checksum: droplet.sha256 === null ? null : { type: "sha256", value: droplet.sha256 },
    buildpacks: droplet.lifecycle_type === "docker"
      ? null
      : droplet.buildpacks.map(({ name, detect_output, buildpack_name, version }) => ({ name: maskUrl(name), detect_output, buildpack_name, version })),
    stack: droplet.stack,
    image: droplet.image,
    execution_metadata: hide ?? droplet.execution_metadata,
    process_types: hide === undefined ? droplet.process_types : { redacted_message: hide },
    relationships: { app: toOneData(droplet.app_guid) },
    ...metadataOf(droplet),
    links: links(api, {
      self: at, app: `/v3/apps/${droplet.app_guid}`, assign_current_droplet: `PATCH /v3/apps/${droplet.app_guid}/relationships/current_droplet`,
      package: droplet.package_guid === null ? undefined : `/v3/packages/${droplet.package_guid}`,
      upload: droplet.state === "AWAITING_UPLOAD" ? `POST ${at}/upload` : undefined,
      download: droplet.state === "STAGED" && droplet.lifecycle_type !== "docker" ? `${at}/download` : undefined,
    }),
  };
}

export function presentSidecar(sidecar: RowOf<"sidecars">): object {
  return {
    ...standard(sidecar),
    name: sidecar.name,
    command: sidecar.command,
    process_types: sidecar.process_types,
    memory_in_mb: sidecar.memory_in_mb,
    origin: sidecar.origin,
    relationships: { app: toOneData(sidecar.app_guid) },
  };
}

export function presentTask(task: RowOf<"tasks">, api: string, { showCommand = false } = {}): object {
  const at = `/v3/tasks/${task.guid}`;
  return {
    ...standard(task),
    sequence_id: task.sequence_id,
    name: task.name,
    ...(showCommand && { command: task.command }),
    user: task.run_as ?? "vcap",
    state: task.state,
    memory_in_mb: task.memory_in_mb,
    disk_in_mb: task.disk_in_mb,
    log_rate_limit_in_bytes_per_second: task.log_rate_limit_in_bytes_per_second,
    result: { failure_reason: task.failure_reason },
    droplet_guid: task.droplet_guid,
    relationships: { app: toOneData(task.app_guid) },
    ...metadataOf(task),
    links: links(api, { self: at, app: `/v3/apps/${task.app_guid}`, cancel: `POST ${at}/actions/cancel`, droplet: task.droplet_guid === null ? undefined : `/v3/droplets/${task.droplet_guid}` }),
  };
}

export function presentDeployment(deployment: RowOf<"deployments">, api: string): object {
  const at = `/v3/deployments/${deployment.guid}`;
  const active = deployment.status_value === "ACTIVE";
  const { memory, ...options } = deployment.options as { memory?: { step: number; revision?: object }; canary?: { steps: unknown[] } };
  const isCanary = deployment.strategy === "canary";
  const { canary, ...rest } = options;
  return {
    ...standard(deployment),
    status: {
      value: deployment.status_value,
      reason: deployment.status_reason,
      details: {
        last_successful_healthcheck: deployment.last_healthy_at === null ? null : time(deployment.last_healthy_at),
        last_status_change: time(deployment.status_changed_at),
        ...(deployment.error !== null && { error: deployment.error }),
      },
      ...(isCanary && { canary: { steps: { current: memory?.step ?? 1, total: Math.max(1, canary?.steps.length ?? 1) } } }),
    },
    strategy: deployment.strategy,
    options: { ...rest, ...(isCanary && canary && canary.steps.length > 0 && { canary }) },
    droplet: { guid: deployment.droplet_guid },
    previous_droplet: { guid: deployment.previous_droplet_guid },
    new_processes: deployment.new_processes,
    revision: memory?.revision ?? null,
    relationships: { app: toOneData(deployment.app_guid) },
    ...metadataOf(deployment),
    links: links(api, {
      self: at, app: `/v3/apps/${deployment.app_guid}`,
      ...(active && { cancel: `POST ${at}/actions/cancel` }), ...(deployment.state === "PAUSED" && { continue: `POST ${at}/actions/continue` }),
    }),
  };
}
