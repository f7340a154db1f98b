import { nullable, shape, Type } from "../api/validate.ts";

const limit = Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: 2_147_483_647 })));
const bigLimit = Type.Optional(nullable(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })));

/** The limits that quotas of organizations and of spaces share, as a request brings them. Null: unlimited. */
export const limitsBody = {
  apps: Type.Optional(shape({
    total_memory_in_mb: bigLimit, per_process_memory_in_mb: bigLimit, total_instances: limit, per_app_tasks: limit, log_rate_limit_in_bytes_per_second: bigLimit,
  })),
  services: Type.Optional(shape({ paid_services_allowed: Type.Optional(Type.Boolean()), total_service_instances: limit, total_service_keys: limit })),
  routes: Type.Optional(shape({ total_routes: limit, total_reserved_ports: limit })),
};

interface Limits {
  total_memory_in_mb: number | null;
  per_process_memory_in_mb: number | null;
  total_instances: number | null;
  per_app_tasks: number | null;
  log_rate_limit_in_bytes_per_second: number | null;
  paid_services_allowed: boolean;
  total_service_instances: number | null;
  total_service_keys: number | null;
  total_routes: number | null;
  total_reserved_ports: number | null;
}

type LimitGroups = { readonly [group in "apps" | "services" | "routes"]?: Readonly<Record<string, unknown>> | undefined };

/** The columns a request names; those it does not name stay as they are. */
export const limitColumns = ({ apps = {}, services = {}, routes = {} }: LimitGroups): Partial<Limits> => ({ ...apps, ...services, ...routes });

export function presentLimits(row: Limits): object {
  return {
    apps: {
      total_memory_in_mb: row.total_memory_in_mb, per_process_memory_in_mb: row.per_process_memory_in_mb, total_instances: row.total_instances,
      per_app_tasks: row.per_app_tasks, log_rate_limit_in_bytes_per_second: row.log_rate_limit_in_bytes_per_second,
    },
    services: { paid_services_allowed: row.paid_services_allowed, total_service_instances: row.total_service_instances, total_service_keys: row.total_service_keys },
    routes: { total_routes: row.total_routes, total_reserved_ports: row.total_reserved_ports },
  };
}
