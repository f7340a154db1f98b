import { sql } from "kysely";
import type { RouteModule } from "./context.ts";
import { notAuthorized } from "./errors.ts";
import { links } from "./present.ts";
import { usageOf } from "../data/usage.ts";

/** The newest version of the v3 API whose gates the command line finds kept here. */
export const apiVersion = "3.211.0";
const minimumCliVersion = "8.0.0";

const collections = [
  "app_usage_events", "apps", "audit_events", "buildpacks", "builds", "deployments", "domains", "droplets", "environment_variable_groups",
  "feature_flags", "info", "isolation_segments", "organizations", "organization_quotas", "packages", "processes", "resource_matches", "roles", "routes",
  "security_groups", "service_brokers", "service_instances", "service_credential_bindings", "service_offerings", "service_plans",
  "service_route_bindings", "service_usage_events", "spaces", "space_quotas", "stacks", "tasks", "users",
];

/** The documents a client starts with; none of them needs a token. */
export const rootRoutes: RouteModule = (api, { db }) => {
  const open = { auth: "none", query: "any" } as const;

  api.get("/", open, ({ urls }) => ({
    links: {
      self: { href: urls.api },
      cloud_controller_v2: null,
      cloud_controller_v3: { href: `${urls.api}/v3`, meta: { version: apiVersion } },
      network_policy_v0: { href: `${urls.api}/networking/v0/external` },
      network_policy_v1: { href: `${urls.api}/networking/v1/external` },
      login: { href: urls.login },
      uaa: { href: urls.uaa },
      credhub: null,
      routing: { href: `${urls.api}/routing` },
      logging: null,
      log_cache: { href: urls.logCache },
      log_stream: null,
      app_ssh: null,
    },
  }));

  api.get("/v3", open, ({ urls }) => ({
    links: links(urls.api, { self: "/v3", ...Object.fromEntries(collections.map((name) => [name, `/v3/${name}`])) }),
  }));

  api.get("/v3/info", open, ({ urls }) => ({
    build: "", cli_version: { minimum: minimumCliVersion, recommended: "" }, custom: {}, description: "OpenCF", name: "opencf", version: 0, osbapi_version: "2.17",
    rate_limits: { enabled: false, general_limit: null, reset_interval_in_minutes: null },
    links: { ...links(urls.api, { self: "/v3/info" }), support: { href: "" } },
  }));

  api.get("/v3/info/usage_summary", async ({ access, urls }) => {
    if (!access.can("platform.read")) throw notAuthorized();
    const domains = await db.selectFrom("domains").select(({ fn }) => fn.countAll<number>().as("n")).where("organization_guid", "is not", null).executeTakeFirst();
    return {
      usage_summary: { ...(await usageOf(db, sql`(SELECT guid FROM spaces)`)), domains: domains?.n ?? 0 },
      links: links(urls.api, { self: "/v3/info/usage_summary" }),
    };
  });

  api.get("/v2/info", { auth: "optional", query: "any" }, ({ urls, holder, access }) => ({
    name: "opencf", build: "", version: 0, description: "OpenCF", support: "This platform has no v2 API; use a v8 or newer command line.",
    authorization_endpoint: urls.login, token_endpoint: urls.uaa, min_cli_version: minimumCliVersion, min_recommended_cli_version: null,
    doppler_logging_endpoint: null, routing_endpoint: `${urls.api}/routing`, api_version: "", osbapi_version: "2.17", custom: {},
    ...(holder && { user: access.userGuid }),
  }));

  api.get("/healthz", open, async (call) => {
    await db.selectFrom("stacks").select("guid").limit(1).execute();
    void call.reply.type("text/plain").send("OK");
    return undefined;
  });
};
