import type { Selectable } from "kysely";
import type { Defaulted, Json, JsonDefault, Labelled, Nullable, Row, StringMap, Time, TimeOrNull } from "./columns.ts";
import type {
  AppsTable, BuildsTable, DeploymentsTable, DropletsTable, PackagesTable, ProcessesTable, RevisionsTable, SidecarsTable, TasksTable,
} from "./schema-apps.ts";

export { json, type JsonText, type StringMap } from "./columns.ts";
export type {
  AppsTable, BuildsTable, DeploymentsTable, DropletBuildpack, DropletsTable, DropletState, PackagesTable, PackageState, ProcessesTable, RevisionsTable, SidecarsTable, TasksTable,
} from "./schema-apps.ts";

/**
 * The controller's tables, as types; `migrations.ts` has the same in SQL.
 * Every row has a serial `id` (creation order) and a `guid` (identity: foreign keys name it).
 */

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

/** Executors of their own. The segment `shared` stands for those that belong to none. */
export interface IsolationSegmentsTable extends Labelled {
  name: string;
}

/** Which organizations may use which segment. */
export interface IsolationSegmentEntitlementsTable {
  isolation_segment_guid: string;
  organization_guid: string;
}

/** One thing that apps may reach. */
export interface SecurityGroupRule {
  protocol: "tcp" | "udp" | "icmp" | "all";
  /** IPv4 addresses, networks and ranges, with commas between them. */
  destination: string;
  ports?: string;
  type?: number;
  code?: number;
  log?: boolean;
  description?: string;
}

export interface SecurityGroupsTable extends Row {
  name: string;
  rules: Json<SecurityGroupRule[]>;
  /** Holds in every space. */
  running_default: Defaulted<boolean>;
  staging_default: Defaulted<boolean>;
}

export interface SecurityGroupSpacesTable {
  security_group_guid: string;
  space_guid: string;
  lifecycle: "running" | "staging";
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
  revisions: RevisionsTable;
  jobs: JobsTable;
  audit_events: AuditEventsTable;
  app_usage_events: UsageEventsTable;
  feature_flags: FeatureFlagsTable;
  environment_groups: EnvironmentGroupsTable;
  organization_quotas: OrganizationQuotasTable;
  space_quotas: SpaceQuotasTable;
  stacks: StacksTable;
  buildpacks: BuildpacksTable;
  security_groups: SecurityGroupsTable;
  security_group_spaces: SecurityGroupSpacesTable;
  isolation_segments: IsolationSegmentsTable;
  isolation_segment_entitlements: IsolationSegmentEntitlementsTable;
}

/** A row as it is read: `RowOf<"apps">`. */
export type RowOf<Table extends keyof ControllerTables> = Selectable<ControllerTables[Table]>;
