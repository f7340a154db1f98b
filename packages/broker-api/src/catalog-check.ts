import Ajv, { type JSONSchemaType } from "ajv";
import type { Catalog, Plan, ServiceOffering } from "./catalog.ts";
import { isObject } from "./json.ts";
import { createSchemaCompiler, type ParameterCheck } from "./schema.ts";

const text = { type: "string", minLength: 1 } as const;
const flag = { type: "boolean" } as const;
const open = { type: "object" } as const;
const semver = "^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$";
const parameters = { type: "object", properties: { parameters: open } } as const;

const planShape = {
  type: "object",
  required: ["id", "name", "description"],
  properties: {
    id: text, name: text, description: { ...text, maxLength: 10_000 }, metadata: open, free: flag, bindable: flag, binding_rotatable: flag, plan_updateable: flag,
    maximum_polling_duration: { type: "integer", minimum: 1 },
    // Cloud Foundry refuses a catalog with any other key here.
    maintenance_info: { type: "object", required: ["version"], additionalProperties: false, properties: { version: { type: "string", pattern: semver }, description: text } },
    schemas: {
      type: "object",
      properties: {
        service_instance: { type: "object", properties: { create: parameters, update: parameters } },
        service_binding: { type: "object", properties: { create: parameters } },
      },
    },
  },
};

const catalogShape = {
  type: "object",
  required: ["services"],
  properties: {
    services: {
      type: "array",
      // The specification allows an empty list; Cloud Foundry does not.
      minItems: 1,
      items: {
        type: "object",
        required: ["id", "name", "description", "bindable", "plans"],
        properties: {
          id: text, name: text, description: { ...text, maxLength: 10_000 }, bindable: flag,
          tags: { type: "array", items: text },
          requires: { type: "array", items: { enum: ["syslog_drain", "route_forwarding", "volume_mount"] }, uniqueItems: true },
          instances_retrievable: flag, bindings_retrievable: flag, allow_context_updates: flag, plan_updateable: flag, metadata: open,
          // redirect_uri is optional in the profile; Cloud Foundry wants it.
          dashboard_client: { type: "object", required: ["id", "secret", "redirect_uri"], properties: { id: text, secret: text, redirect_uri: text } },
          plans: { type: "array", minItems: 1, items: planShape },
        },
      },
    },
  },
} as unknown as JSONSchemaType<Catalog>;

/** The three schemas a plan can have, compiled. */
export interface PlanChecks {
  create?: ParameterCheck;
  update?: ParameterCheck;
  bind?: ParameterCheck;
}

export interface CheckedCatalog {
  issues: string[];
  /** By plan id. */
  checks: Map<string, PlanChecks>;
}

/**
 * Everything that is wrong with a catalog, by the specification and by Cloud Foundry's stricter rules: shape, sizes,
 * uniqueness, schemas. Each issue names its place as a JSON pointer. Secrets are not shown.
 */
export function checkCatalog(catalog: unknown): CheckedCatalog {
  const checks = new Map<string, PlanChecks>();
  const shape = new Ajv.default({ allErrors: true, strict: false }).compile(catalogShape);
  if (!shape(catalog)) {
    const issues = (shape.errors ?? []).slice(0, 50).map(({ instancePath, message, params }) => {
      const extra = (params as { additionalProperty?: string }).additionalProperty;
      return `${instancePath || "/"} ${message ?? "is not valid"}${extra === undefined ? "" : `: ${extra}`}`;
    });
    return { issues, checks };
  }
  const issues: string[] = [];
  const compile = createSchemaCompiler();
  const services = catalog.services;
  duplicates(services.map(({ id }) => id), "service id", issues);
  duplicates(services.map(({ name }) => name), "service name", issues);
  duplicates(services.flatMap(({ dashboard_client }) => dashboard_client?.id ?? []), "dashboard_client id", issues);
  duplicates(services.flatMap(({ plans }) => plans.map(({ id }) => id)), "plan id", issues);
  services.forEach((service, i) => {
    checkService(service, `/services/${i}`, issues);
    service.plans.forEach((plan, j) => checks.set(plan.id, checkPlan(plan, `/services/${i}/plans/${j}`, { issues, compile })));
  });
  return { issues, checks };
}

function duplicates(values: readonly string[], what: string, issues: string[]): void {
  for (const value of new Set(values.filter((one, i) => values.indexOf(one) !== i))) issues.push(`${what} used twice: ${value}`);
}

function checkService(service: ServiceOffering, at: string, issues: string[]): void {
  duplicates(service.plans.map(({ name }) => name), `${at} plan name`, issues);
  if ((service.tags ?? []).join("").length > 2_048) issues.push(`${at}/tags must not have more than 2048 characters together`);
}

function checkPlan(plan: Plan, at: string, { issues, compile }: { issues: string[]; compile: ReturnType<typeof createSchemaCompiler> }): PlanChecks {
  if (plan.maintenance_info && JSON.stringify(plan.maintenance_info).length > 2_000) issues.push(`${at}/maintenance_info must not have more than 2000 characters`);
  const { service_instance: instance, service_binding: binding } = plan.schemas ?? {};
  const places = { create: instance?.create, update: instance?.update, bind: binding?.create } as const;
  const checks: PlanChecks = {};
  for (const [name, place] of Object.entries(places) as [keyof PlanChecks, { parameters?: unknown } | undefined][]) {
    if (!isObject(place) || place["parameters"] === undefined) continue;
    try {
      checks[name] = compile(place["parameters"]);
    } catch (error) {
      issues.push(`${at}/schemas (${name}): ${(error as Error).message}`);
    }
  }
  return checks;
}
