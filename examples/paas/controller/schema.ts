import type { ColumnType, Generated, Selectable } from "kysely";

/**
 * The controller's tables, as types; `migrations.ts` has the same in SQL.
 * Every row has a serial `id` (creation order) and a `guid` (identity: foreign keys name it).
 */

/** Text made by `json()`: the only thing that may be written into a JSON column. */
export type JsonText = string & { readonly __json: unique symbol };
export const json = (value: unknown): JsonText => JSON.stringify(value) as JsonText;

type Json<T> = ColumnType<T, JsonText, JsonText>;
type JsonDefault<T> = ColumnType<T, JsonText | undefined, JsonText>;
type Time = ColumnType<Date, Date | string | undefined, Date | string>;
type TimeOrNull = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;
type Defaulted<T> = ColumnType<T, T | undefined, T>;
type Nullable<T> = ColumnType<T | null, T | null | undefined, T | null>;

export type StringMap = Record<string, string>;

interface Row {
  id: Generated<number>;
  guid: string;
  created_at: Time;
  updated_at: Time;
}

interface Labelled extends Row {
  labels: JsonDefault<StringMap>;
  annotations: JsonDefault<StringMap>;
}

export interface OrganizationsTable extends Labelled {
  name: string;
  suspended: Defaulted<boolean>;
  /** Set while a recursive deletion is under way. */
  deleting: Defaulted<boolean>;
  quota_guid: string;
  default_isolation_segment_guid: Nullable<string>;
}

export interface SpacesTable extends Labelled {
  name: string;
  organization_guid: string;
  suspended: Defaulted<boolean>;
  deleting: Defaulted<boolean>;
  allow_ssh: Defaulted<boolean>;
  quota_guid: Nullable<string>;
  isolation_segment_guid: Nullable<string>;
}

export type OrganizationRole = "organization_user" | "organization_auditor" | "organization_manager" | "organization_billing_manager";
export type SpaceRole = "space_auditor" | "space_developer" | "space_manager" | "space_supporter";
export type RoleType = OrganizationRole | SpaceRole;

export interface RolesTable extends Row {
  type: RoleType;
  user_guid: string;
  /** Exactly one of the two is set. */
  organization_guid: Nullable<string>;
  space_guid: Nullable<string>;
}

/** A user the controller knows; the name lives in the UAA. */
export type UsersTable = Labelled;

export interface DomainsTable extends Labelled {
  name: string;
  internal: Defaulted<boolean>;
  /** Set on TCP domains. */
  router_group_guid: Nullable<string>;
  /** Null: shared with every organization. */
  organization_guid: Nullable<string>;
}

export interface DomainSharesTable {
  domain_guid: string;
  organization_guid: string;
}

export interface RoutesTable extends Labelled {
  host: Defaulted<string>;
  path: Defaulted<string>;
  port: Nullable<number>;
  domain_guid: string;
  space_guid: string;
  options: JsonDefault<Record<string, unknown>>;
}

export interface RouteSharesTable {
  route_guid: string;
  space_guid: string;
}

export interface RouteDestinationsTable extends Row {
  route_guid: string;
  app_guid: string;
  process_type: Defaulted<string>;
  /** Null: the port of the process (8080). */
  port: Nullable<number>;
  protocol: Defaulted<"http1" | "http2" | "tcp">;
  weight: Nullable<number>;
}

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

export interface ApiErrorBody {
  code: number;
  title: string;
  detail: string;
}

export interface JobsTable extends Row {
  operation: string;
  state: "PROCESSING" | "POLLING" | "COMPLETE" | "FAILED";
  errors: JsonDefault<ApiErrorBody[]>;
  warnings: JsonDefault<{ detail: string }[]>;
  /** What the job works on, e.g. `apps` and its guid: becomes a link. */
  resource_type: Nullable<string>;
  resource_guid: Nullable<string>;
  /** Which controller runs it: after a crash that one fails what it left behind. */
  owner: string;
}

export interface AuditEventsTable extends Row {
  type: string;
  actor_guid: string;
  actor_type: string;
  actor_name: string;
  target_guid: string;
  target_type: string;
  target_name: string;
  data: JsonDefault<Record<string, unknown>>;
  space_guid: Nullable<string>;
  organization_guid: Nullable<string>;
}

export interface UsageEventsTable extends Row {
  state: string;
  previous_state: Nullable<string>;
  app_guid: Nullable<string>;
  app_name: Nullable<string>;
  process_guid: Nullable<string>;
  process_type: Nullable<string>;
  space_guid: Nullable<string>;
  space_name: Nullable<string>;
  organization_guid: Nullable<string>;
  buildpack_guid: Nullable<string>;
  buildpack_name: Nullable<string>;
  task_guid: Nullable<string>;
  task_name: Nullable<string>;
  memory_in_mb: Nullable<number>;
  previous_memory_in_mb: Nullable<number>;
  instances: Nullable<number>;
  previous_instances: Nullable<number>;
}

export interface FeatureFlagsTable {
  name: string;
  enabled: boolean;
  custom_error_message: Nullable<string>;
  updated_at: Time;
}

export interface EnvironmentGroupsTable {
  name: "running" | "staging";
  var: Json<StringMap>;
  updated_at: TimeOrNull;
}

/** Null: unlimited. */
interface QuotaColumns {
  name: string;
  total_memory_in_mb: Nullable<number>;
  per_process_memory_in_mb: Nullable<number>;
  total_instances: Nullable<number>;
  per_app_tasks: Nullable<number>;
  log_rate_limit_in_bytes_per_second: Nullable<number>;
  paid_services_allowed: Defaulted<boolean>;
  total_service_instances: Nullable<number>;
  total_service_keys: Nullable<number>;
  total_routes: Nullable<number>;
  total_reserved_ports: Nullable<number>;
}

export interface OrganizationQuotasTable extends Row, QuotaColumns {
  total_domains: Nullable<number>;
}

export interface SpaceQuotasTable extends Row, QuotaColumns {
  organization_guid: string;
}

export interface StacksTable extends Labelled {
  name: string;
  description: Nullable<string>;
  state: Defaulted<"ACTIVE" | "RESTRICTED" | "DEPRECATED" | "DISABLED">;
  state_reason: Nullable<string>;
  is_default: Defaulted<boolean>;
}

export interface BuildpacksTable extends Labelled {
  name: string;
  stack: Nullable<string>;
  state: Defaulted<"AWAITING_UPLOAD" | "READY">;
  filename: Nullable<string>;
  position: number;
  enabled: Defaulted<boolean>;
  locked: Defaulted<boolean>;
  lifecycle: Defaulted<"buildpack" | "cnb">;
}

/** All tables of the controller. The services part adds its own in its own file. */
export interface ControllerTables {
  organizations: OrganizationsTable;
  spaces: SpacesTable;
  roles: RolesTable;
  users: UsersTable;
  domains: DomainsTable;
  domain_shares: DomainSharesTable;
  routes: RoutesTable;
  route_shares: RouteSharesTable;
  route_destinations: RouteDestinationsTable;
  apps: AppsTable;
  processes: ProcessesTable;
  packages: PackagesTable;
  builds: BuildsTable;
  droplets: DropletsTable;
  sidecars: SidecarsTable;
  tasks: TasksTable;
  deployments: DeploymentsTable;
  jobs: JobsTable;
  audit_events: AuditEventsTable;
  app_usage_events: UsageEventsTable;
  feature_flags: FeatureFlagsTable;
  environment_groups: EnvironmentGroupsTable;
  organization_quotas: OrganizationQuotasTable;
  space_quotas: SpaceQuotasTable;
  stacks: StacksTable;
  buildpacks: BuildpacksTable;
}

/** A row as it is read: `RowOf<"apps">`. */
export type RowOf<Table extends keyof ControllerTables> = Selectable<ControllerTables[Table]>;
