/** A JSON Schema (draft 4 or newer) for user parameters. */
export interface ParameterSchema {
  parameters?: Readonly<Record<string, unknown>>;
}

export interface MaintenanceInfo {
  /** Semantic version 2.0. */
  version: string;
  description?: string;
}

/** A plan of the catalog, in the words of the Service Broker API ("Plan Object"). */
export interface Plan {
  id: string;
  name: string;
  description: string;
  metadata?: Readonly<Record<string, unknown>>;
  /** Default true. */
  free?: boolean;
  /** Default: the offering's. */
  bindable?: boolean;
  binding_rotatable?: boolean;
  /** May an instance leave this plan? Default: the offering's. */
  plan_updateable?: boolean;
  schemas?: {
    service_instance?: { create?: ParameterSchema; update?: ParameterSchema };
    service_binding?: { create?: ParameterSchema };
  };
  /** Seconds. */
  maximum_polling_duration?: number;
  maintenance_info?: MaintenanceInfo;
}

/** A service offering, in the words of the Service Broker API ("Service Offering Object"). */
export interface ServiceOffering {
  id: string;
  name: string;
  description: string;
  bindable: boolean;
  plans: readonly Plan[];
  tags?: readonly string[];
  requires?: readonly ("syslog_drain" | "route_forwarding" | "volume_mount")[];
  instances_retrievable?: boolean;
  bindings_retrievable?: boolean;
  allow_context_updates?: boolean;
  /** The spelling is the specification's. */
  plan_updateable?: boolean;
  metadata?: Readonly<Record<string, unknown>>;
  dashboard_client?: { id: string; secret: string; redirect_uri: string };
}

export interface Catalog {
  services: readonly ServiceOffering[];
}

/** An offering without its plans: what the author's functions are given beside the one plan that counts. */
export type Service = Omit<ServiceOffering, "plans">;

/** A plan with its defaults filled in: what the author's functions are given. */
export type ResolvedPlan = Plan & { readonly metadata: Readonly<Record<string, unknown>>; readonly bindable: boolean; readonly plan_updateable: boolean };

export function resolvePlan(service: ServiceOffering, plan: Plan): ResolvedPlan {
  return {
    ...plan,
    metadata: plan.metadata ?? {},
    bindable: plan.bindable ?? service.bindable,
    plan_updateable: plan.plan_updateable ?? service.plan_updateable ?? false,
  };
}

export function withoutPlans({ plans: _, ...service }: ServiceOffering): Service {
  return service;
}
