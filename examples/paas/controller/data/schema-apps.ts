import type { Defaulted, JsonDefault, Labelled, Nullable, Row, StringMap, Time, TimeOrNull } from "./columns.ts";

/** Tables of what runs: apps, processes, packages, builds, droplets, tasks, deployments. */

export interface AppsTable extends Labelled {
  name: string;
  space_guid: string;
  state: Defaulted<"STARTED" | "STOPPED">;
  lifecycle_type: Defaulted<"buildpack" | "docker" | "cnb">;
  buildpacks: JsonDefault<string[]>;
  stack: Nullable<string>;
  environment_variables: JsonDefault<StringMap>;
  current_droplet_guid: Nullable<string>;
  enable_ssh: Defaulted<boolean>;
  revisions_enabled: Defaulted<boolean>;
  service_binding_k8s_enabled: Defaulted<boolean>;
  file_based_vcap_services_enabled: Defaulted<boolean>;
  deleting: Defaulted<boolean>;
}

export interface ProcessesTable extends Labelled {
  app_guid: string;
  type: string;
  /** Generation: changes whenever running instances must be replaced. */
  version: string;
  /** Null: the command the droplet names for this type. */
  command: Nullable<string>;
  /** The system user inside the container. */
  run_as: Nullable<string>;
  instances: number;
  memory_in_mb: number;
  disk_in_mb: number;
  /** -1: unlimited. */
  log_rate_limit_in_bytes_per_second: Defaulted<number>;
  health_check_type: "port" | "process" | "http";
  health_check_http_endpoint: Nullable<string>;
  /** Seconds. */
  health_check_timeout: Nullable<number>;
  health_check_invocation_timeout: Nullable<number>;
  health_check_interval: Nullable<number>;
  readiness_health_check_type: Defaulted<"port" | "process" | "http">;
  readiness_health_check_http_endpoint: Nullable<string>;
  readiness_health_check_invocation_timeout: Nullable<number>;
  readiness_health_check_interval: Nullable<number>;
  /** The droplet this process runs when it differs from the app's (during a deployment). */
  droplet_guid: Nullable<string>;
  revision_guid: Nullable<string>;
}

export type PackageState = "AWAITING_UPLOAD" | "PROCESSING_UPLOAD" | "READY" | "FAILED" | "COPYING" | "EXPIRED";

export interface PackagesTable extends Labelled {
  app_guid: string;
  type: "bits" | "docker";
  state: PackageState;
  error: Nullable<string>;
  sha1: Nullable<string>;
  sha256: Nullable<string>;
  size_bytes: Nullable<number>;
  docker_image: Nullable<string>;
  docker_username: Nullable<string>;
  docker_password: Nullable<string>;
}

export interface BuildsTable extends Labelled {
  app_guid: string;
  package_guid: Nullable<string>;
  droplet_guid: Nullable<string>;
  state: "STAGING" | "STAGED" | "FAILED";
  error_id: Nullable<string>;
  error_description: Nullable<string>;
  lifecycle_type: Defaulted<"buildpack" | "docker" | "cnb">;
  buildpacks: JsonDefault<string[]>;
  stack: Nullable<string>;
  environment_variables: JsonDefault<StringMap>;
  staging_memory_in_mb: number;
  staging_disk_in_mb: number;
  staging_log_rate_limit_bytes_per_second: Defaulted<number>;
  created_by_guid: Nullable<string>;
  created_by_name: Nullable<string>;
  created_by_email: Nullable<string>;
}

export type DropletState = "AWAITING_UPLOAD" | "PROCESSING_UPLOAD" | "STAGED" | "FAILED" | "COPYING" | "EXPIRED";

export interface DropletBuildpack {
  name: string;
  detect_output: string | null;
  buildpack_name: string | null;
  version: string | null;
  /** Guid of the system buildpack, where it was one. */
  key?: string | null;
}

export interface DropletsTable extends Labelled {
  app_guid: string;
  package_guid: Nullable<string>;
  build_guid: Nullable<string>;
  state: DropletState;
  error: Nullable<string>;
  lifecycle_type: Defaulted<"buildpack" | "docker" | "cnb">;
  sha1: Nullable<string>;
  sha256: Nullable<string>;
  size_bytes: Nullable<number>;
  buildpacks: JsonDefault<DropletBuildpack[]>;
  stack: Nullable<string>;
  image: Nullable<string>;
  execution_metadata: Defaulted<string>;
  process_types: JsonDefault<StringMap>;
  /** Sidecars that buildpacks asked for. */
  sidecars: JsonDefault<{ name: string; command: string; process_types: string[]; memory_in_mb?: number | null }[]>;
}

export interface SidecarsTable extends Row {
  app_guid: string;
  name: string;
  command: string;
  process_types: JsonDefault<string[]>;
  memory_in_mb: Nullable<number>;
  origin: Defaulted<"user" | "buildpack">;
}

export interface TasksTable extends Labelled {
  app_guid: string;
  droplet_guid: Nullable<string>;
  sequence_id: number;
  name: string;
  command: string;
  run_as: Nullable<string>;
  state: "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELING";
  failure_reason: Nullable<string>;
  memory_in_mb: number;
  disk_in_mb: number;
  log_rate_limit_in_bytes_per_second: Defaulted<number>;
  environment_variables: JsonDefault<StringMap>;
}

/** What an app was when it was started: droplet, environment, commands. */
export interface RevisionsTable extends Labelled {
  app_guid: string;
  /** Counts from 1 for each app. */
  version: number;
  droplet_guid: string;
  environment_variables: JsonDefault<StringMap>;
  /** By process type; null: the command of the droplet. */
  commands: JsonDefault<Record<string, string | null>>;
  sidecars: JsonDefault<{ name: string; command: string; process_types: string[]; memory_in_mb: number | null }[]>;
  description: string;
}

/** Rolling and canary replacements of an app's web process. */
export interface DeploymentsTable extends Labelled {
  app_guid: string;
  state: "PREPAUSED" | "PAUSED" | "DEPLOYING" | "DEPLOYED" | "CANCELING" | "CANCELED";
  status_value: "ACTIVE" | "FINALIZED";
  status_reason: "DEPLOYING" | "PAUSED" | "CANCELING" | "DEPLOYED" | "CANCELED" | "SUPERSEDED";
  strategy: "rolling" | "canary" | "recreate";
  droplet_guid: Nullable<string>;
  previous_droplet_guid: Nullable<string>;
  options: JsonDefault<Record<string, unknown>>;
  new_processes: JsonDefault<{ guid: string; type: string }[]>;
  error: Nullable<string>;
  last_healthy_at: TimeOrNull;
  status_changed_at: Time;
}
