import type { RouteModule } from "./context.ts";
import { notFound } from "./errors.ts";
import { links, standard } from "./present.ts";
import type { RowOf } from "../data/schema.ts";

/** An unfinished job is held this long before it is answered: clients come back only after three seconds. */
const holdMs = 2_000;

const collectionOf: Readonly<Record<string, string>> = {
  app: "apps", space: "spaces", organization: "organizations", route: "routes", domain: "domains", droplet: "droplets", package: "packages",
  buildpack: "buildpacks", service_broker: "service_brokers", service_instance: "service_instances",
  service_credential_binding: "service_credential_bindings", service_route_binding: "service_route_bindings",
};

export function presentJob(row: RowOf<"jobs">, base: string): object {
  const collection = collectionOf[row.resource_type ?? ""];
  const isGone = row.state === "COMPLETE" && /\.delete$/.test(row.operation);
  return {
    ...standard(row),
    operation: row.operation,
    state: row.state,
    errors: row.errors,
    warnings: row.warnings,
    links: links(base, { self: `/v3/jobs/${row.guid}`, ...(collection !== undefined && !isGone && { [`${collection}`]: `/v3/${collection}/${row.resource_guid ?? ""}` }) }),
  };
}

/** A job is readable by everyone who is logged in and knows its guid. */
export const jobRoutes: RouteModule = (api, { jobs }) => {
  api.get("/v3/jobs/:guid", async (call) => {
    const job = await jobs.wait(call.guid, holdMs, call.signal);
    if (!job) throw notFound("Job");
    return presentJob(job, call.urls.api);
  });
};
