import type { Catalog, ResolvedPlan, Service } from "./catalog.ts";
import type { JsonObject } from "./json.ts";
import type { Logger } from "./ports.ts";

/** `X-Broker-API-Originating-Identity`, decoded: who is behind the platform's call. */
export interface OriginatingIdentity {
  /** E.g. `cloudfoundry`, `kubernetes`. */
  platform: string;
  /** E.g. `{ user_id }` in Cloud Foundry. */
  value: Readonly<JsonObject>;
}

/** What every function of a broker is given beside its request. */
export interface OperationContext {
  /** Fires when the time for this call is over, or the broker is closed. Pass it on. */
  signal: AbortSignal;
  log: Logger;
  /** Missing on calls no user caused, e.g. when the platform cleans up. */
  originatingIdentity: OriginatingIdentity | undefined;
  /** `X-Broker-API-Request-Identity`. */
  requestIdentity: string | undefined;
  /** Where the calling platform tells about itself (Cloud Foundry only). */
  apiInfoLocation: string | undefined;
}

interface InstanceRequest {
  instanceId: string;
  service: Service;
  plan: ResolvedPlan;
}

export interface ProvisionRequest extends InstanceRequest {
  /** As the user sent them, checked against the plan's schema. `{}` when there were none. */
  parameters: Readonly<JsonObject>;
  /** Where the instance lives, by the platform's profile; `{}` from old platforms. */
  context: Readonly<JsonObject>;
  organizationGuid: string;
  spaceGuid: string;
  maintenanceVersion: string | undefined;
}

export interface InstanceMetadata {
  labels?: Readonly<Record<string, string>>;
  attributes?: Readonly<Record<string, string>>;
}

export interface InstanceResult {
  dashboardUrl?: string | undefined;
  metadata?: InstanceMetadata | undefined;
}

export interface UpdateRequest extends InstanceRequest {
  /** The plan before; the same object kind as `plan`, which is the plan wanted now. */
  previousPlan: ResolvedPlan;
  /** Only what the user wants changed; `undefined` when parameters are to stay as they are. */
  parameters: Readonly<JsonObject> | undefined;
  /** Parameters before the change. */
  previousParameters: Readonly<JsonObject>;
  context: Readonly<JsonObject>;
  maintenanceVersion: string | undefined;
  /** Which of the four intents this is; several may be true. */
  changes: { plan: boolean; parameters: boolean; maintenance: boolean; context: boolean };
}

export type DeprovisionRequest = InstanceRequest;

/** What the binding is for. */
export interface BindResource {
  app_guid?: string;
  /** Of the app, which is another than the instance's when the instance is shared. */
  space_guid?: string;
  route?: string;
  credential_client_id?: string;
  [more: string]: unknown;
}

export interface BindRequest extends InstanceRequest {
  bindingId: string;
  /** As the user sent them, checked against the plan's schema. `{}` when there were none. */
  parameters: Readonly<JsonObject>;
  /** Parameters of the instance. */
  instanceParameters: Readonly<JsonObject>;
  bindResource: Readonly<BindResource>;
  context: Readonly<JsonObject>;
  /** Set when this binding replaces another, which stays valid until it is unbound. */
  predecessorBindingId: string | undefined;
}

export interface VolumeMount {
  driver: string;
  container_dir: string;
  mode: "r" | "rw";
  device_type: "shared";
  device: { volume_id: string; mount_config?: Readonly<JsonObject> };
}

export interface Endpoint {
  host: string;
  /** Single ports or ranges: `"443"`, `"9000-9010"`. */
  ports: readonly string[];
  protocol?: "tcp" | "udp" | "all";
}

export interface BindResult {
  /** Free form; apps like `uri`, `hostname`, `port`, `name`, `username`, `password`. One set per binding. */
  credentials?: Readonly<JsonObject> | undefined;
  /** Needs `requires: ["syslog_drain"]`. */
  syslogDrainUrl?: string | undefined;
  /** https. Needs `requires: ["route_forwarding"]`. */
  routeServiceUrl?: string | undefined;
  /** Needs `requires: ["volume_mount"]`. */
  volumeMounts?: readonly VolumeMount[] | undefined;
  endpoints?: readonly Endpoint[] | undefined;
  expiresAt?: Date | undefined;
  renewBefore?: Date | undefined;
}

export interface UnbindRequest extends InstanceRequest {
  bindingId: string;
}

/**
 * What an author writes. Each function does its work and returns, or throws: a {@link BrokerError} to answer the user
 * (`BROKER_REJECTED` for "no, and here is why"), anything else is a 500 and tells the platform to clean up.
 *
 * After a failed `provision` or `bind` the platform calls `deprovision` or `unbind`: those must cope with half-made and
 * with absent things. The framework calls nothing twice at the same time for one instance, except `bind` and `unbind` of
 * different bindings.
 */
export interface BrokerDefinition {
  catalog: Catalog;
  /** `PUT /v2/service_instances/:instance_id` */
  provision(request: ProvisionRequest, context: OperationContext): Promise<InstanceResult | void>;
  /** `PATCH /v2/service_instances/:instance_id`. Without it every update that would change something is refused. */
  update?(request: UpdateRequest, context: OperationContext): Promise<InstanceResult | void>;
  /** `DELETE /v2/service_instances/:instance_id`. Bindings that are left are unbound first. */
  deprovision(request: DeprovisionRequest, context: OperationContext): Promise<void>;
  /** `PUT …/service_bindings/:binding_id`. Required when a plan is bindable. */
  bind?(request: BindRequest, context: OperationContext): Promise<BindResult>;
  /** `DELETE …/service_bindings/:binding_id`. Required when a plan is bindable. */
  unbind?(request: UnbindRequest, context: OperationContext): Promise<void>;
}

/** Types an author's broker; checks nothing yet (`createBrokerApi` does). */
export function defineBroker(definition: BrokerDefinition): BrokerDefinition {
  return definition;
}
