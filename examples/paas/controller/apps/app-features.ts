import { sql } from "kysely";
import { demandApp } from "./app-access.ts";
import type { AppParts, AppRow, Trx } from "./app-parts.ts";
import { checkBody } from "../api/checks.ts";
import { notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import type { Api } from "../api/http.ts";

type FeatureColumn = "enable_ssh" | "revisions_enabled" | "service_binding_k8s_enabled" | "file_based_vcap_services_enabled";

interface Feature {
  column: FeatureColumn;
  description: string;
  /** Why it cannot be switched on here, where it cannot. */
  missing?: string;
}

/** Features of an app. What this platform cannot do may be switched off, and says so when it is to be switched on. */
export const appFeatures: Readonly<Record<string, Feature>> = {
  ssh: { column: "enable_ssh", description: "Enable SSHing into the app." },
  revisions: { column: "revisions_enabled", description: "Enable versioning of an application" },
  "service-binding-k8s": {
    column: "service_binding_k8s_enabled", description: "Enable k8s service bindings for the app",
    missing: "This platform does not write service bindings to files; use VCAP_SERVICES.",
  },
  "file-based-vcap-services": {
    column: "file_based_vcap_services_enabled", description: "Enable file-based VCAP service bindings for the app",
    missing: "This platform does not write VCAP_SERVICES to a file; use the variable.",
  },
};

const presentFeature = (name: string, { column, description }: Feature, app: AppRow): object => ({ name, description, enabled: app[column] });

/** Features an app has, by name: for the generated manifest. */
export const featuresOf = (app: AppRow): Record<string, boolean> => Object.fromEntries(Object.entries(appFeatures).map(([name, { column }]) => [name, app[column]]));

/** @throws CfError for a feature this platform does not have */
export async function setFeatures(db: Trx, appGuid: string, wanted: Readonly<Record<string, boolean>>): Promise<void> {
  for (const [name, enabled] of Object.entries(wanted)) {
    const feature = appFeatures[name];
    if (!feature) throw unprocessable(`Feature '${name}' does not exist`);
    if (enabled && feature.missing !== undefined) throw unprocessable(feature.missing);
    await db.updateTable("apps").set({ [feature.column]: enabled, updated_at: sql<Date>`now()` }).where("guid", "=", appGuid).execute();
  }
}

/** `/v3/apps/:guid/features` and `ssh_enabled`. */
export function appFeatureRoutes(api: Api, { db }: AppParts): void {
  api.get("/v3/apps/:guid/features", { query: "any" }, async (call) => {
    const { app } = await demandApp(db, call, call.guid);
    return { resources: Object.entries(appFeatures).map(([name, feature]) => presentFeature(name, feature, app)) };
  });

  api.get("/v3/apps/:guid/features/:name", async (call) => {
    const { app } = await demandApp(db, call, call.guid);
    const feature = appFeatures[call.param("name")];
    if (!feature) throw notFound("Feature");
    return presentFeature(call.param("name"), feature, app);
  });

  api.patch("/v3/apps/:guid/features/:name", async (call) => {
    const name = call.param("name");
    const { app, place } = await demandApp(db, call, call.guid, { write: name === "revisions" ? "app.operate" : "app.write" });
    const feature = appFeatures[name];
    if (!feature) throw notFound("Feature");
    if (!call.access.can("app.operate", place)) throw notAuthorized();
    const checks = checkBody(call.body, ["enabled"]);
    const enabled = checks.flag("enabled", { required: true });
    if (enabled === undefined || checks.problems.length > 0) throw unprocessable(checks.problems.join(", "));
    await setFeatures(db, app.guid, { [name]: enabled });
    return presentFeature(name, feature, { ...app, [feature.column]: enabled });
  });

  api.get("/v3/apps/:guid/ssh_enabled", async (call) => {
    const { app } = await demandApp(db, call, call.guid);
    const space = await db.selectFrom("spaces").select("allow_ssh").where("guid", "=", app.space_guid).executeTakeFirst();
    if (space?.allow_ssh === false) return { enabled: false, reason: "Disabled for space" };
    if (!app.enable_ssh) return { enabled: false, reason: "Disabled for app" };
    return { enabled: false, reason: "This platform has no SSH proxy" };
  });
}
